"""The record format: what is in a shard and in its manifest, and nothing above that.

A folder of prepared records holds TFRecord shards and `manifest.json`, which is
written last and makes the folder valid. The manifest states records, bytes and
sha256 of every shard because TensorFlow reads a shard that was cut at a record
boundary as a clean end of file: without it a half-copied shard goes unnoticed.

All paths are strings, local or `gs://`.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shlex
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.errors import UserError
from trainer.storage.bucket import file_sizes, is_gs
from trainer.storage.files import temporary_name, write_text
from trainer.storage.png import png

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

Encoding = Literal["raw", "png"]
Uint8Array = npt.NDArray[np.uint8]

# Up to here the bytes that PNG saves are worth less than the time it takes to decode.
_RAW_BYTES_AT_MOST = 64 * 64 * 3
_READ_BYTES = 1 << 20
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file, named relative to its folder; sha256 in hexadecimal."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a folder of records holds."""

    schema_version: int
    source: str
    image_shape: tuple[int, int, int]  # H, W, C
    encoding: Encoding
    class_names: tuple[str, ...]  # empty: the images have no labels
    shards: tuple[Shard, ...]

    @property
    def num_images(self) -> int:
        """Records in all shards."""
        return sum(shard.records for shard in self.shards)

    def to_json(self) -> str:
        """The manifest as indented JSON; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Reads what `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: the text is not such a manifest.
        """
        values: dict[str, Any] = json.loads(text)
        height, width, channels = values.pop("image_shape")
        manifest = cls(
            image_shape=(int(height), int(width), int(channels)),
            class_names=tuple(values.pop("class_names")),
            shards=tuple(Shard(**shard) for shard in values.pop("shards")),
            **values,
        )
        if min(manifest.image_shape) < 1 or manifest.encoding not in get_args(Encoding):
            raise ValueError(f"images of {manifest.image_shape} as {manifest.encoding!r}")
        if not all(isinstance(text, str) for text in (manifest.source, *manifest.class_names)):
            raise ValueError(f"{manifest.source!r} of {manifest.class_names}")
        if not manifest.shards:
            raise ValueError("no shards")
        for shard in manifest.shards:
            if [type(field) for field in dataclasses.astuple(shard)] != [str, int, int, str]:
                raise ValueError(f"a shard is {dataclasses.asdict(shard)}")
        return manifest


def encoding_for(image_shape: tuple[int, int, int]) -> Encoding:
    """`raw` for small images, lossless `png` for large ones."""
    return "raw" if np.prod(image_shape) <= _RAW_BYTES_AT_MOST else "png"


def has_manifest(records_dir: str) -> bool:
    """Whether the folder was prepared to the end."""
    return bool(tf.io.gfile.exists(tf.io.gfile.join(records_dir, MANIFEST_NAME)))


def read_manifest(records_dir: str) -> Manifest:
    """Reads the manifest of a prepared folder.

    Raises:
        UserError: there is none, it is damaged, or a newer version wrote it.
    """
    path = tf.io.gfile.join(records_dir, MANIFEST_NAME)
    try:
        with tf.io.gfile.GFile(path) as file:
            text = file.read()
    except tf.errors.NotFoundError:
        raise UserError(
            f"{records_dir} holds no {MANIFEST_NAME}: prepare it with "
            f"python -m trainer.data.prepare --source=... --output={shlex.quote(records_dir)}."
        ) from None
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    try:
        version = json.loads(text)["schema_version"]
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{path} has schema version {version} and this program reads {SCHEMA_VERSION}: "
                "update the program, or delete the folder and prepare it again."
            )
        return Manifest.from_json(text)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is no manifest of records, or damaged ({type(error).__name__}: {error}): "
            "give another folder, or delete it and prepare it again."
        ) from error


def write_manifest(records_dir: str, manifest: Manifest) -> None:
    """Writes the manifest, which declares the folder complete; call it last."""
    write_text(tf.io.gfile.join(records_dir, MANIFEST_NAME), manifest.to_json())


def serialize(image: Uint8Array, label: int, encoding: Encoding) -> bytes:
    """One record: a `tf.train.Example` of a uint8 [H, W, C] image and a label (-1: none)."""
    assert image.dtype == np.uint8 and image.ndim == 3, (image.dtype, image.shape)
    data = image.tobytes() if encoding == "raw" else png(image)
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # Two workers that prepare the same folder must write the same bytes.
    return bytes(example.SerializePartialToString(deterministic=True))


def parse_batch(serialized: tf.Tensor, manifest: Manifest) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes records, string [B]; many at once is several times faster than one by one.

    Returns:
        Images, uint8 [B, H, W, C], and labels, int32 [B], -1 where there is none.
    """
    parsed = tf.io.parse_example(serialized, _FEATURES)
    if manifest.encoding == "raw":
        flat = tf.io.decode_raw(parsed["image"], tf.uint8)
        images = tf.reshape(flat, [-1, *manifest.image_shape])
    else:
        images = tf.map_fn(
            lambda data: tf.ensure_shape(tf.io.decode_png(data), manifest.image_shape),
            parsed["image"],
            fn_output_signature=tf.TensorSpec(manifest.image_shape, tf.uint8),
        )
    return images, tf.cast(parsed["label"], tf.int32)


class ShardWriter:
    """Deals records out to shards in turn: record i goes to shard i % num_shards.

    A context manager. Shards carry temporary names until `commit`; what has not
    been committed at the end of the block is removed. Several processes may
    write the same folder at once, as long as they write the same records.

    Raises:
        tf.errors.OpError: the folder cannot be written.
    """

    def __init__(self, records_dir: str, num_shards: int) -> None:
        names = [f"shard-{i:05d}-of-{num_shards:05d}.tfrecord" for i in range(num_shards)]
        self._paths = [tf.io.gfile.join(records_dir, name) for name in names]
        self._temporaries = [temporary_name(path) for path in self._paths]
        self._count = 0
        tf.io.gfile.makedirs(records_dir)
        self._writers: list[tf.io.TFRecordWriter] = []

    def __enter__(self) -> Self:
        """Opens the shards."""
        try:
            for path in self._temporaries:
                self._writers.append(tf.io.TFRecordWriter(path))
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the shards and removes those not committed."""
        self._discard()

    def write(self, record: bytes) -> None:
        """Appends a record to the next shard."""
        self._writers[self._count % len(self._writers)].write(record)
        self._count += 1

    def commit(self) -> tuple[Shard, ...]:
        """Gives the shards their names and returns what they hold, read back from disk."""
        shards = []
        for i, (temporary, path) in enumerate(zip(self._temporaries, self._paths, strict=True)):
            self._writers[i].close()
            shard = Shard(
                file=path.rpartition("/")[2],
                records=len(range(i, self._count, len(self._paths))),
                bytes=tf.io.gfile.stat(temporary).length,
                sha256=sha256_of(temporary),
            )
            tf.io.gfile.rename(temporary, path, overwrite=True)
            shards.append(shard)
        return tuple(shards)

    def _discard(self) -> None:
        for writer in self._writers:
            # A full disk, which has been told: the file goes anyway.
            with contextlib.suppress(tf.errors.OpError):
                writer.close()
        for path in self._temporaries:
            if tf.io.gfile.exists(path):
                tf.io.gfile.remove(path)


def check_sizes(records_dir: str, manifest: Manifest) -> None:
    """Checks that every shard is there and has its full length; cheap, for every start.

    Raises:
        UserError: names the shard, the stated and the found size.
    """
    # One listing of a bucket in place of a request for each shard.
    if is_gs(records_dir):
        sizes = file_sizes(records_dir)
    else:
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(records_dir)}
    for shard in manifest.shards:
        path, found = tf.io.gfile.join(records_dir, shard.file), sizes.get(shard.file)
        if found is None:
            raise UserError(f"{path} is missing: delete {records_dir} and prepare it again.")
        if found != shard.bytes:
            raise UserError(
                f"{path} has {found} bytes and its manifest says {shard.bytes}: "
                f"delete {records_dir} and prepare it again."
            )


def check_content(records_dir: str, shard: Shard) -> None:
    """Checks every byte of a shard and the number of its records; reads all of it.

    Raises:
        UserError: names the shard.
    """
    path = tf.io.gfile.join(records_dir, shard.file)
    if sha256_of(path) != shard.sha256:
        raise UserError(
            f"{path} is damaged, its sha256 is not the manifest's: "
            f"delete {records_dir} and prepare it again."
        )
    found = sum(1 for _ in tf.data.TFRecordDataset(path))
    if found != shard.records:
        raise UserError(
            f"{path} has {found} records and its manifest says {shard.records}: "
            f"delete {records_dir} and prepare it again."
        )


def sha256_of(path: str) -> str:
    """The sha256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
