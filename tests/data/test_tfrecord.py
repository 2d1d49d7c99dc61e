import dataclasses
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.examples import pixels
from trainer.data import tfrecord
from trainer.data.tfrecord import Manifest, ShardWriter
from trainer.errors import UserError


def write_records(folder: Path, images: np.ndarray, num_shards: int = 3) -> Manifest:
    encoding = tfrecord.encoding_for(images.shape[1:])
    with ShardWriter(str(folder), num_shards) as writer:
        for label, image in enumerate(images):
            writer.write(tfrecord.serialize(image, label, encoding))
        shards = writer.commit()
    manifest = Manifest(1, "npz:test.npz", images.shape[1:], encoding, ("a", "b"), shards)
    tfrecord.write_manifest(str(folder), manifest)
    return manifest


@pytest.fixture
def six(tmp_path: Path) -> Manifest:
    """Six images in three shards, all as they should be."""
    manifest = write_records(tmp_path, pixels(6, 2, 2, 1))
    tfrecord.check_sizes(str(tmp_path), manifest)
    tfrecord.check_content(str(tmp_path), manifest.shards[1])
    return manifest


@pytest.mark.parametrize(
    ("shape", "encoding"),
    [
        *(((5, 7, 1), "raw"), ((64, 64, 3), "raw")),
        *(((65, 64, 3), "png"), ((112, 112, 1), "png"), ((64, 64, 4), "png")),
    ],
)
def test_every_bit_comes_back(tmp_path: Path, shape: tuple[int, int, int], encoding: str) -> None:
    images = pixels(5, *shape)
    manifest = write_records(tmp_path, images, num_shards=1)
    assert manifest.encoding == encoding
    records = list(tf.data.TFRecordDataset(str(tmp_path / manifest.shards[0].file)))
    parsed, labels = tfrecord.parse_batch(tf.stack(records), manifest)
    assert parsed.dtype == tf.uint8 and labels.dtype == tf.int32
    np.testing.assert_array_equal(parsed, images)
    np.testing.assert_array_equal(labels, range(5))


def test_png_records_are_png_files() -> None:
    image = pixels(1, 80, 80, 3)[0]
    example = tf.train.Example.FromString(tfrecord.serialize(image, 3, "png"))
    data = example.features.feature["image"].bytes_list.value[0]
    assert data.startswith(b"\x89PNG")
    assert zlib.crc32(data[12:29]) == int.from_bytes(data[29:33], "big")
    assert example.features.feature["label"].int64_list.value[0] == 3


def test_parsing_gives_a_static_shape(tmp_path: Path) -> None:
    for side in (8, 100):
        manifest = write_records(tmp_path / str(side), pixels(3, side, side, 3))
        batches = tf.data.Dataset.from_tensor_slices([b""]).batch(1)
        batches = batches.map(lambda rows, m=manifest: tfrecord.parse_batch(rows, m)[0])
        assert batches.element_spec.shape[1:] == (side, side, 3)


def test_records_are_dealt_out_in_turn(tmp_path: Path) -> None:
    manifest = write_records(tmp_path, pixels(7, 2, 2, 1), num_shards=3)
    assert [shard.records for shard in manifest.shards] == [3, 2, 2]
    assert manifest.num_images == 7
    for i, shard in enumerate(manifest.shards):
        rows = tf.stack(list(tf.data.TFRecordDataset(str(tmp_path / shard.file))))
        np.testing.assert_array_equal(tfrecord.parse_batch(rows, manifest)[1], range(i, 7, 3))
        assert shard.bytes == (tmp_path / shard.file).stat().st_size


def test_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    images = pixels(6, 70, 70, 3)
    first = write_records(tmp_path / "a", images)
    assert write_records(tmp_path / "b", images) == first


def test_writer_leaves_nothing_behind_without_commit(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ShardWriter(str(tmp_path), 2) as writer:
        writer.write(b"record")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "{}", '{"schema_version": "1"}', '{"schema_version": 1}'),
        '{"schema_version": 1, "image_shape": [1, 2]}',
    ],
)
def test_damaged_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json is no manifest.*prepare it again"):
        tfrecord.read_manifest(str(tmp_path))


def test_a_manifest_without_shards(tmp_path: Path, six: Manifest) -> None:
    tfrecord.write_manifest(str(tmp_path), dataclasses.replace(six, shards=()))
    with pytest.raises(UserError, match="no shards"):
        tfrecord.read_manifest(str(tmp_path))


@pytest.mark.parametrize("records", [1, 3, -5])
def test_a_wrong_count_of_records(tmp_path: Path, six: Manifest, records: int) -> None:
    shard = dataclasses.replace(six.shards[0], records=records)
    with pytest.raises(UserError, match=f"has 2 records and its manifest says {records}"):
        tfrecord.check_content(str(tmp_path), shard)


def test_manifest_of_a_newer_version(tmp_path: Path, six: Manifest) -> None:
    tfrecord.write_manifest(str(tmp_path), dataclasses.replace(six, schema_version=2))
    with pytest.raises(UserError, match="schema version 2 and this program reads 1"):
        tfrecord.read_manifest(str(tmp_path))


def test_sizes_tell_a_shard_that_tensorflow_reads_as_whole(tmp_path: Path, six: Manifest) -> None:
    shard = tmp_path / six.shards[2].file
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])  # two records of the same length
    assert len(list(tf.data.TFRecordDataset(str(shard)))) == 1
    with pytest.raises(UserError, match=f"has {len(whole) // 2} bytes .* says {len(whole)}"):
        tfrecord.check_sizes(str(tmp_path), six)
