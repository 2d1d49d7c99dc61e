"""Trains the classifier that a set's images are measured with.

It learns the labels of prepared records. Beside them it keeps `classifier.npz`, which the
evaluation then takes for its features:

    python -m trainer.evaluation.train_classifier --records_dir=data/fashion_mnist

Accuracy is that on every 10th image, which is then not trained on, or on a test set of its own:

    python -m trainer.evaluation.train_classifier --records_dir=data/mnist \\
        --test_source=idx-test:downloads/mnist

The weights of the last epoch are kept, whatever their accuracy, and replace those of an earlier
training. Values of a measure can be compared only if they were taken with the same weights, so
their names hold a hash of them. Exit codes: 0 done, 1 failure, 2 bad usage or bad input, 130
Ctrl-C, 143 SIGTERM.
"""

import os

from absl import flags

from trainer.cli import command
from trainer.cli.paths import PathParser
from trainer.cli.quiet_start import import_tensorflow
from trainer.errors import UserError


def _define_flags() -> None:
    # Not at import, which must not add to the flags of another command line.
    flags.DEFINE(PathParser(), "records_dir", None, "Folder of the records; they need labels.")
    flags.DEFINE(
        PathParser(),
        "output",
        None,
        "The .npz to write; left out: classifier.npz in the folder of the records.",
    )
    flags.DEFINE_integer("epochs", 20, "Passes over the images.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Decides all random numbers.", lower_bound=0)
    flags.DEFINE_string(
        "test_source",
        "",
        "Images to measure the accuracy on, as --source of trainer.data.prepare takes them.",
    )


def _train_classifier() -> None:
    given = flags.FLAGS
    if not given.records_dir:
        raise UserError("give --records_dir, a folder of prepared records: see --help.")

    # TensorFlow takes seconds to import; --help and a wrong flag should not.
    import_tensorflow()
    from trainer.evaluation.classifier import FILE_NAME
    from trainer.evaluation.classifier_training import train_classifier

    output = given.output or os.path.join(given.records_dir, FILE_NAME)
    train_classifier(given.records_dir, output, given.epochs, given.seed, given.test_source)


if __name__ == "__main__":
    _define_flags()
    command.run(_train_classifier)
