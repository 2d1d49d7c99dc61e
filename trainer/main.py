"""Trains a deep convolutional GAN, and draws, exports or goes on with what it learned.

  Train the embedded digits on this machine (minutes):
    python -m trainer.main --config=configs/digits.py --run_dir=runs/digits

  Change any field of the config, two epochs only:
    python -m trainer.main --config=configs/mnist.py --run_dir=runs/mnist \\
        --config.train.epochs=2 --config.model.generator_filters=64,64,32

  Stopped, killed or cut off? The same command again goes on from the last checkpoint.

  Images from a trained run, as one grid, as arrays, as files, as a walk between latents:
    python -m trainer.main --mode=sample --run_dir=runs/digits --output=grid.png
    python -m trainer.main --mode=sample --run_dir=runs/digits --count=10000 --output=fake.npz
    python -m trainer.main --mode=sample --run_dir=runs/digits --count=100 --output=folder
    python -m trainer.main --mode=sample --run_dir=runs/digits --count=8 \\
        --interpolation_steps=10 --output=walk.png

  How good the images are (Frechet distance, coverage, ...), of one run or of several together:
    python -m trainer.main --mode=evaluate --run_dir=runs/mnist
    python -m trainer.main --mode=evaluate --run_dir=runs/a,runs/b --checkpoint=best --count=10000

  The same config with several values of a field, two processes at a time:
    python -m trainer.main --config=configs/digits.py --run_dir=runs/seeds --sweep=seed=1,2,3 \\
        --sweep_processes=2

  A SavedModel that needs nothing of this project:
    python -m trainer.main --mode=export --run_dir=runs/digits

  What the TPU's compiler says of a config, without a TPU: memory, FLOPs, bytes, limits of speed
  (needs pip install 'dcgan-trainer[preflight]'):
    python -m trainer.main --mode=preflight --config=configs/mnist.py --topology=v5e:2x2 \\
        --config.train.group_size=16 --output=preflight.json

  Try two replicas without a GPU:
    python -m trainer.main --config=configs/digits.py --run_dir=runs/two \\
        --strategy=mirrored --logical_devices=2 --config.train.group_size=32

  Watch: tensorboard --logdir runs

Exit codes: 0 done, 1 failure, 2 bad usage or bad input, 130 Ctrl-C and 143 SIGTERM, both
after saving.
"""

import logging
import math
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from trainer.cli.compile_cache import use_compile_cache
from trainer.cli.config_parsers import register_parsers
from trainer.config import Config
from trainer.config_fields import describe, is_field, unknown_field_message
from trainer.errors import (
    DivergedError,
    FailedRunsError,
    LostWorkerError,
    StoppedError,
    StorageOutageError,
    UserError,
)
from trainer.storage.bucket_errors import naming_buckets_of_streams

# Before TensorFlow is imported: its start-up notes would bury our own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

register_parsers()
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "train: a config file; --config.FIELD=VALUE sets one of its fields."
)
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "sample", "export", "evaluate", "report", "preflight"],
    "What to do.",
)
_RUN_DIR = flags.DEFINE_string(
    "run_dir",
    "runs/digits",
    "Run directory, local or gs://. evaluate and report: one or more, separated by commas; "
    "evaluate takes SavedModels too.",
)
_STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "cpu", "mirrored", "multiworker", "tpu"],
    "Where to train; auto: the best that this machine has.",
)
_TOPOLOGY = flags.DEFINE_string(
    "topology",
    "v5e:2x2",
    "preflight: the TPU to compile for, its kind (v5e, v5p, v6e) and the shape of its chips; each "
    "chip is a replica, and so takes whole groups.",
)
_LOGICAL_DEVICES = flags.DEFINE_integer(
    "logical_devices", 0, "Split the CPU into so many devices, to try replicas.", lower_bound=0
)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "train: use only operations whose results never vary; may be slower."
)
_COMPILE_CACHE = flags.DEFINE_string(
    "compile_cache",
    None,
    "train: a folder where compiled programs are kept for the next start; the first is slower.",
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "", "sample, export, evaluate: best, or step-N; default: the newest."
)
_COUNT = flags.DEFINE_integer(
    "count",
    None,
    "sample: images, or rows of a walk, default 64. evaluate: samples, default "
    "evaluation.images of the config.",
    lower_bound=1,
)
_SAMPLE_SEED = flags.DEFINE_integer(
    "sample_seed", 0, "sample, evaluate: decides the latents.", lower_bound=0, upper_bound=2**31 - 1
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "sample: FILE.png (a grid), FILE.npz or a folder; default RUN_DIR/samples/seed_S.png. "
    "export: a folder; default RUN_DIR/export. evaluate, preflight: FILE.json. "
    "report: FILE.html.",
)
_LABEL = flags.DEFINE_integer(
    "label",
    None,
    "sample, of a conditional model: the class; default: each in turn.",
    lower_bound=0,
)
_TRUNCATION = flags.DEFINE_float(
    "truncation",
    math.inf,
    "sample: keep latents within so many standard deviations; 1 or less: fewer outliers, less "
    "variety.",
)
_SWEEP = flags.DEFINE_multi_string(
    "sweep",
    [],
    "train: FIELD=VALUE,VALUE: a run for each value, in folders of RUN_DIR; several: all "
    "combinations. Where a value is itself a list, semicolons part the values, in quotes: "
    "--sweep='model.generator_filters=128,96,64;64,48,32'.",
)
_SWEEP_PROCESSES = flags.DEFINE_integer(
    "sweep_processes", 1, "train: runs of a sweep at a time.", lower_bound=1
)
_INTERPOLATION_STEPS = flags.DEFINE_integer(
    "interpolation_steps", 0, "sample: above 0, images from one latent to another.", lower_bound=0
)


def main(argv: Sequence[str]) -> None:
    """Runs the mode that the flags name, and turns its outcome into an exit code."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("trainer").setLevel(logging.INFO)
    modes = {
        "train": _sweep if _SWEEP.value else _train,
        "sample": _sample,
        "export": _export,
        "evaluate": _evaluate,
        "report": _report,
        "preflight": _preflight,
    }
    try:
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}: flags start with --, see --help.")
        with naming_buckets_of_streams():
            modes[_MODE.value]()
    except UserError as error:
        _leave(2, f"error: {error}")
    except LostWorkerError as error:
        _leave_at_once(1, f"error: {error}")
    except (DivergedError, FailedRunsError, StorageOutageError) as error:
        _leave(1, f"error: {error}")
    except StoppedError as stopped:
        leave = _leave if stopped.in_group else _leave_at_once
        leave(128 + stopped.signal_number, str(stopped))
    except KeyboardInterrupt:
        _leave(130, "interrupted before anything new was there to save.")


def _train() -> None:
    config = _validated_config()

    if _COMPILE_CACHE.value:
        use_compile_cache(_COMPILE_CACHE.value)
    # TensorFlow takes seconds to import; --help and a wrong flag should not.
    from trainer.strategy import (
        is_multiworker,
        make_deterministic,
        make_strategy,
        naming_lost_workers,
    )
    from trainer.train import train

    if _DETERMINISTIC.value:
        make_deterministic()
    strategy, run_dir = make_strategy(_STRATEGY.value, _LOGICAL_DEVICES.value), _RUN_DIR.value
    with naming_lost_workers(strategy, run_dir):
        run = train(config, strategy, run_dir)
    if not is_multiworker(run.strategy):
        _leave_at_once(0)


def _preflight() -> None:
    config = _validated_config()

    from trainer.tpu.preflight import preflight

    preflight(config, _TOPOLOGY.value, _OUTPUT.value)


def _validated_config() -> Config:
    config = _config()
    config.validate()
    return config


def _config() -> Config:
    config = _CONFIG.value
    if config is None:
        raise UserError("--config is missing: give --config=configs/digits.py, or another file.")
    if not isinstance(config, Config):
        file = config_flags.get_config_filename(flags.FLAGS["config"])
        raise UserError(
            f"--config={file} cannot be used: it must be a Python file whose get_config() returns "
            "a trainer.config.Config, such as configs/mnist.py."
        )
    return config


def _sample() -> None:
    from trainer.run.checkpoints import load_generator
    from trainer.sampling.sampler import IN_TURN, Sampler
    from trainer.sampling.writing import write_interpolations, write_samples

    if not _TRUNCATION.value > 0:
        raise UserError(f"--truncation={_TRUNCATION.value}: give a number above 0.")
    generator = load_generator(_RUN_DIR.value, _CHECKPOINT.value)
    sampler = Sampler(generator, _TRUNCATION.value)
    seed, count = _SAMPLE_SEED.value, _COUNT.value or 64
    label = IN_TURN if _LABEL.value is None else _LABEL.value
    output = _OUTPUT.value or os.path.join(_RUN_DIR.value, "samples", f"seed_{seed}.png")
    if _INTERPOLATION_STEPS.value:
        write_interpolations(sampler, seed, count, _INTERPOLATION_STEPS.value, output, label)
    else:
        write_samples(sampler, seed, count, output, label)
    print(output)


def _export() -> None:
    from trainer.run.checkpoints import load_generator
    from trainer.sampling.export import export_generator

    output = _OUTPUT.value or os.path.join(_RUN_DIR.value, "export")
    export_generator(load_generator(_RUN_DIR.value, _CHECKPOINT.value), output)
    print(output)


def _evaluate() -> None:
    from trainer.evaluate_runs import evaluate_runs

    if _CONFIG.value is not None:
        _CONFIG.value.validate()
    evaluate_runs(
        _run_dirs(),
        checkpoint=_CHECKPOINT.value,
        count=_COUNT.value,
        seed=_SAMPLE_SEED.value,
        config=_CONFIG.value,
        output=_OUTPUT.value,
    )


def _report() -> None:
    from trainer.report.page import write_report

    output = _OUTPUT.value or os.path.join(_run_dirs()[0], "report.html")
    write_report(_run_dirs(), output)
    print(output)


def _sweep() -> None:
    from trainer.sweep import sweep

    # Not validated: it may lack what every combination of the sweep brings.
    sweep(_config(), _SWEEP.value, _RUN_DIR.value, sys.argv[1:], _SWEEP_PROCESSES.value)


def _run_dirs() -> list[str]:
    return [path for path in _RUN_DIR.value.split(",") if path]


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses flags; bad ones end the process with 2, where absl would say 1."""
    for argument in argv:
        field = _config_field(argument)
        if field and not is_field(Config(), field):
            _leave(2, f"error: {argument}: {unknown_field_message(Config(), field)}")
        if argument.lstrip("-").startswith("config=gs://"):
            _leave(
                2,
                f"error: {argument}: a config is a Python file on a local disk; copy it here "
                "first, with `gcloud storage cp`.",
            )
    try:
        return flags.FLAGS(argv)
    except (flags.Error, UserError, ImportError, OSError, SyntaxError) as error:
        return _leave(2, f"error: {error}")


def _config_field(argument: str) -> str:
    """`train.epochs` of `--config.train.epochs=3`, empty for other arguments."""
    name = argument.lstrip("-").split("=")[0]
    return name.removeprefix("config.") if name.startswith("config.") else ""


def _leave(exit_code: int, message: str) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    sys.exit(exit_code)


def _leave_at_once(exit_code: int, message: str = "") -> NoReturn:
    """Ends the process without freeing anything, for which `Run.batches` would wait.

    All that was to be written has been. Not for a group, whose workers take leave of one another.
    """
    if message:
        print(message, file=sys.stderr)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    __doc__ = f"{__doc__}\nFields of the config, with their defaults:\n{describe(Config())}\n"
    app.run(main, flags_parser=_parse_flags)
