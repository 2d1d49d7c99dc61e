"""Turns a set of images into TFRecord shards, which is what the trainer reads.

The digits that come with scikit-learn, MNIST from its four files, a folder of
photographs with a sub-folder for each class, and a check of the result:

    python -m trainer.data.prepare --source=digits --output=data/digits
    python -m trainer.data.prepare --source=idx:downloads/mnist --output=data/mnist
    python -m trainer.data.prepare --source=images:photos --resolution=64 --output=data/photos
    python -m trainer.data.prepare --verify=data/photos

Sources:

    digits        1,797 handwritten digits of 8x8 pixels, as 28x28; needs no download
    idx:DIR       train-images-idx3-ubyte and train-labels-idx1-ubyte, also .gz
    idx-test:DIR  t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, also .gz
    tfds:NAME     training split of a TensorFlow dataset, such as tfds:cifar10
    images:DIR    .png, .jpg and .jpeg files; sub-folders are classes
    npz:FILE      arrays `images` (uint8 [N, H, W] or [N, H, W, C]) and `labels`

The same command again does nothing, and an interrupted one is simply run again.
A killed one may leave files with `.tmp-` in their names, which can be deleted.
Exit codes: 0 done, 1 failure, 2 bad usage or bad input, 130 Ctrl-C, 143 SIGTERM.
"""

from absl import flags

from trainer.cli import command
from trainer.cli.paths import PathParser
from trainer.cli.quiet_start import import_tensorflow
from trainer.errors import UserError


def _define_flags() -> None:
    # Not at import, which must not add to the flags of another command line.
    flags.DEFINE_string("source", None, "What to read, in one of the forms above.")
    flags.DEFINE(PathParser(), "output", None, "Folder to write the records to; may be gs://.")
    flags.DEFINE_integer(
        "shards",
        None,
        "TFRecord files to write; left out: 4, or one for each image.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "resolution", None, "Height and width to scale to; left out: as the source.", lower_bound=1
    )
    flags.DEFINE_enum("channels", None, ["1", "3", "4"], "1 for grey, 3 for RGB, 4 for RGBA.")
    flags.DEFINE(
        PathParser(), "verify", None, "Folder of records to check, instead of preparing one."
    )


def _prepare() -> None:
    given = flags.FLAGS
    if given.verify:
        others = ("source", "output", "shards", "resolution", "channels")
        if unused := [f"--{name}" for name in others if given[name].present]:
            raise UserError(f"--verify stands alone: leave out {' and '.join(unused)}.")
    elif not (given.source and given.output):
        raise UserError("give --source and --output, or --verify: see --help.")

    # TensorFlow takes seconds to import; --help and a wrong flag should not.
    import_tensorflow()
    from trainer.data.preparation import prepare, verify

    if given.verify:
        verify(given.verify)
    else:
        channels = int(given.channels) if given.channels else None
        prepare(given.source, given.output, given.shards, given.resolution, channels)


if __name__ == "__main__":
    _define_flags()
    command.run(_prepare)
