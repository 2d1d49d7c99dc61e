"""Records made from a source once, and found again."""

import logging

import tensorflow as tf
from tqdm import tqdm

from trainer.config import Config
from trainer.data import sources, tfrecord
from trainer.data.tfrecord import Manifest
from trainer.errors import UserError
from trainer.storage.bucket import check_writable, is_gs
from trainer.storage.bucket_errors import reason
from trainer.storage.disk import naming_the_disk

log = logging.getLogger(__name__)


def prepare(
    spec: str,
    output: str,
    shards: int | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    shards_at_most: int = 4,
) -> Manifest:
    """Writes the images of a source as TFRecord shards, or finds that this was done.

    The manifest is written last, so a folder without one counts as not
    prepared. Several workers may prepare the same folder at once: they write
    the same bytes under names of their own and then rename them. A folder that
    is prepared is accepted without opening the source, which may be elsewhere.

    Args:
        spec: the source, see `sources.open_source`.
        output: folder of the records, local or gs://; made if it is not there.
        shards: TFRecord files to write. Left out: one for each image, but not more than
            `shards_at_most`; in a prepared folder, whatever is there.
        resolution: height and width of the images. Left out: the source's own;
            in a prepared folder, whatever is there.
        channels: 1, 3 or 4; left out, like `resolution`.

    Raises:
        UserError: a source that cannot be read, a folder that cannot be
            written or that holds other or damaged records, too few images.
    """
    if shards is not None and shards < 1:
        raise UserError(f"{shards} shards asked for: give 1 or more.")
    if tfrecord.has_manifest(output):
        manifest = tfrecord.read_manifest(output)
        _check_same(output, manifest, spec, shards, resolution, channels)
        tfrecord.check_sizes(output, manifest)
        print(f"{output} is prepared already: {_summary(manifest)}")
        return manifest

    source = sources.open_source(spec, resolution, channels)
    if shards is None:
        shards = min(shards_at_most, source.num_images)
    if source.num_images < shards:
        raise UserError(
            f"{spec} has {source.num_images} images, too few for {shards} shards: "
            f"give at most {source.num_images} shards."
        )
    if is_gs(output):
        check_writable(output)
    try:
        with naming_the_disk():
            manifest = _write(source, output, shards)
    except tf.errors.OpError as error:
        raise UserError(
            f"{spec} could not be written to {output} ({reason(error)}): choose another folder."
        ) from error
    print(f"{output} is prepared: {_summary(manifest)}")
    return manifest


def prepared_records(config: Config, num_classes: int = 0) -> Manifest:
    """The records that a config names, prepared first if they are not there.

    A folder that is there is taken whatever it was made from, as long as its images have the
    model's shape and, where `num_classes` is not 0, so many classes: a config file names where its
    set comes from, as configs/mnist.py names `tfds:mnist`, and who runs it may have prepared that
    from elsewhere, as from the IDX files. So another source in the file itself is told, and only
    one on the command line is refused, by `check_source`; a run that goes on refuses both.

    Raises:
        UserError: as `prepare`, or images of another shape or with other classes.
    """
    data, model = config.data, config.model
    if not tfrecord.has_manifest(data.records_dir):
        prepare(
            data.source,
            data.records_dir,
            resolution=model.resolution,
            channels=model.channels,
            shards_at_most=data.shards,
        )
    manifest = tfrecord.read_manifest(data.records_dir)
    tfrecord.check_sizes(data.records_dir, manifest)
    if not sources.is_same(manifest.source, data.source):
        log.info(
            "%s was prepared from %s, which is taken; the config names %s",
            *(data.records_dir, manifest.source, data.source),
        )
    wanted = (model.resolution, model.resolution, model.channels)
    if manifest.image_shape != wanted:
        raise UserError(
            f"{data.records_dir} holds images of {'x'.join(map(str, manifest.image_shape))} and "
            f"the model makes {'x'.join(map(str, wanted))}: choose another "
            "--config.data.records_dir, or set --config.model.resolution and "
            "--config.model.channels."
        )
    if num_classes and num_classes != len(manifest.class_names):
        raise UserError(
            f"{data.records_dir} holds images of {len(manifest.class_names)} classes and the model "
            f"is conditional on {num_classes}: set --config.model.num_classes to the classes of "
            "the data, or to 0 for a model without labels."
        )
    return manifest


def check_source(records_dir: str, spec: str | None) -> None:
    """Checks that records, if they are there, are of the source that was asked for, if one was.

    Raises:
        UserError: they are of another one; names both.
    """
    if spec is None or not tfrecord.has_manifest(records_dir):
        return
    found = tfrecord.read_manifest(records_dir).source
    if not sources.is_same(found, spec):
        raise UserError(
            f"--config.data.source={spec}, but {records_dir} was prepared from {found}: give "
            f"another --config.data.records_dir for {spec}, or leave --config.data.source out to "
            f"take {found}."
        )


def verify(records_dir: str) -> None:
    """Checks length, sha256 and records of every shard and prints a line for each.

    Raises:
        UserError: names the first shard that is missing or damaged.
    """
    manifest = tfrecord.read_manifest(records_dir)
    tfrecord.check_sizes(records_dir, manifest)
    for shard in manifest.shards:
        tfrecord.check_content(records_dir, shard)
        print(f"OK {shard.file}: {shard.records} images, {shard.bytes} bytes")


def _write(source: sources.Source, output: str, shards: int) -> Manifest:
    encoding = tfrecord.encoding_for(source.image_shape)
    with tfrecord.ShardWriter(output, shards) as writer:
        # disable=None: a bar on a terminal, nothing in a log file.
        for image, label in tqdm(
            source.examples(), total=source.num_images, unit=" images", disable=None
        ):
            writer.write(tfrecord.serialize(image, label, encoding))
        manifest = Manifest(
            schema_version=tfrecord.SCHEMA_VERSION,
            source=source.spec,
            image_shape=source.image_shape,
            encoding=encoding,
            class_names=source.class_names,
            shards=writer.commit(),
        )
    assert manifest.num_images == source.num_images, (manifest.num_images, source.num_images)
    tfrecord.write_manifest(output, manifest)
    return manifest


def _check_same(
    output: str,
    manifest: Manifest,
    spec: str,
    shards: int | None,
    resolution: int | None,
    channels: int | None,
) -> None:
    height, _, found_channels = manifest.image_shape
    differences = (
        [] if sources.is_same(manifest.source, spec) else [f"source {manifest.source}, not {spec}"]
    )
    differences += [
        f"{name} {found}, not {wanted}"
        for name, found, wanted in (
            ("shards", len(manifest.shards), shards),
            ("resolution", height, resolution),
            ("channels", found_channels, channels),
        )
        if wanted is not None and wanted != found
    ]
    if differences:
        raise UserError(
            f"{output} was prepared with {', '.join(differences)}: give another output folder, "
            "or delete this one and prepare it again."
        )


def _summary(manifest: Manifest) -> str:
    size = sum(shard.bytes for shard in manifest.shards)
    shape = "x".join(map(str, manifest.image_shape))
    return f"{manifest.num_images} images of {shape}, {len(manifest.shards)} shards, {size} bytes."
