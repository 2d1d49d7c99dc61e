"""Packs a run's generator so that it comes with the package, as `--run_dir=pretrained:NAME`.

For those who build the package, with a run that is trained and evaluated:

    python -m trainer.pack --run_dir=runs/mnist_best --name=mnist_best

Exit codes: 0 done, 1 failure, 2 bad usage or bad input.
"""

from absl import flags

from trainer.cli import command
from trainer.cli.paths import PathParser
from trainer.cli.quiet_start import import_tensorflow


def _define_flags() -> None:
    # Not at import, which must not add to the flags of another command line.
    flags.DEFINE(PathParser(), "run_dir", None, "The run, trained and evaluated.", required=True)
    flags.DEFINE_string("name", None, "What it will be known by.", required=True)
    flags.DEFINE_string("checkpoint", "", "best, or step-N; left out: the newest.")


def _pack() -> None:
    import_tensorflow()
    from trainer.run.checkpoints import load_generator
    from trainer.run.pretrained import FOLDER, pack

    given = flags.FLAGS
    folder = str(FOLDER / given.name)
    pack(load_generator(given.run_dir, given.checkpoint), given.run_dir, folder)
    print(folder)


if __name__ == "__main__":
    _define_flags()
    command.run(_pack)
