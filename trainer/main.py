"""Trains a deep convolutional GAN, and draws, exports or goes on with what it learned.

    python -m trainer.main --help                   how to train
    python -m trainer.main --mode=sample --help     how to draw images; so for every mode

Exit codes: 0 done, 1 failure, 2 bad usage or bad input, 130 Ctrl-C and 143 SIGTERM, both
after saving.
"""

import os
import signal
import sys
from typing import NoReturn

from trainer.cli import command, help
from trainer.cli import trainer_flags as given
from trainer.cli.compile_cache import use_compile_cache
from trainer.cli.paths import PRETRAINED, user_path
from trainer.cli.quiet_start import import_tensorflow
from trainer.cli.terminal import print_if_read
from trainer.config import Config
from trainer.errors import UserError
from trainer.run.phases import Phases


def run() -> NoReturn:
    """Does what the command line asks for, and ends the process."""
    command.run(_run_mode, _parse)


def _parse(argv: list[str]) -> list[str]:
    if answer := help.answer(argv):
        command.answer(answer)
    return given.parse(argv)


def _run_mode() -> None:
    modes = {
        "train": _sweep if given.SWEEP.value or given.SWEEP_RUNGS.value else _train,
        "sample": _sample,
        "export": _export,
        "evaluate": _evaluate,
        "report": _report,
        "preflight": _preflight,
    }
    modes[given.MODE.value]()


def _train() -> None:
    # Elsewhere ends by an exception, which a worker that waits for others in C++ never sees.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    config, run_dir = _validated_config(), _run_dir()
    phases = Phases("imports")
    print_if_read(f"config {given.config_name()}, run directory {run_dir}", sys.stdout)

    if given.COMPILE_CACHE.value:
        use_compile_cache(given.COMPILE_CACHE.value)
    # TensorFlow takes seconds to import; --help and a wrong flag should not.
    import_tensorflow()
    from trainer.data.preparation import check_source
    from trainer.evaluation.custom_model import check_trusted
    from trainer.strategy import (
        is_multiworker,
        make_deterministic,
        make_strategy,
        naming_lost_workers,
    )
    from trainer.train import train

    phases.enter("startup")
    check_source(config.data.records_dir, given.asked_source())
    if config.evaluation.every_epochs:
        check_trusted(config.evaluation.extractor, given.TRUST_SAVED_MODELS.value)
    if given.DETERMINISTIC.value:
        make_deterministic()
    strategy = make_strategy(given.STRATEGY.value, given.LOGICAL_DEVICES.value)
    with naming_lost_workers(strategy, run_dir):
        run = train(config, strategy, run_dir, phases)
    if not is_multiworker(run.strategy):
        command.leave_at_once(0)


def _sample() -> None:
    if not given.TRUNCATION.value > 0:
        raise UserError(f"--truncation={given.TRUNCATION.value}: give a number above 0.")

    import_tensorflow()
    from trainer.run.checkpoints import load_generator
    from trainer.run.data_record import read_data_record
    from trainer.run.run_dir import SAMPLES
    from trainer.sampling.labels import label_of
    from trainer.sampling.sampler import Sampler
    from trainer.sampling.writing import write_interpolations, write_samples

    run_dir, results = _run_dir_and_results()
    seed, count = given.SAMPLE_SEED.value, given.COUNT.value or 64
    sampler = Sampler(load_generator(run_dir, given.CHECKPOINT.value), given.TRUNCATION.value)
    data = read_data_record(run_dir)
    names = data.class_names if data else ()
    label = label_of(given.LABEL.value, sampler.generator.num_classes, names)
    output = given.OUTPUT.value or os.path.join(results, SAMPLES, f"seed_{seed}.png")
    if steps := given.INTERPOLATION_STEPS.value:
        write_interpolations(sampler, seed, count, steps, output, label)
    else:
        write_samples(sampler, seed, count, output, label, names)
    print(output)


def _export() -> None:
    import_tensorflow()
    from trainer.run.checkpoints import load_generator
    from trainer.run.run_dir import EXPORT
    from trainer.sampling.export import export_generator

    run_dir, results = _run_dir_and_results()
    output = given.OUTPUT.value or os.path.join(results, EXPORT)
    export_generator(load_generator(run_dir, given.CHECKPOINT.value), output)
    print(output)


def _evaluate() -> None:
    config = _validated_config() if given.CONFIG.present else None

    import_tensorflow()
    from trainer.data.preparation import check_source
    from trainer.evaluate_runs import evaluate_runs
    from trainer.run.pretrained import folder_of
    from trainer.run.run_dir import EVALUATION

    if config:
        check_source(config.data.records_dir, given.asked_source())
    run_dirs = _run_dirs()
    packed = [folder_of(run_dir) for run_dir in run_dirs]
    evaluate_runs(
        [folder or run_dir for folder, run_dir in zip(packed, run_dirs, strict=True)],
        checkpoint=given.CHECKPOINT.value,
        count=given.COUNT.value,
        seed=given.SAMPLE_SEED.value,
        config=config,
        output=given.OUTPUT.value or (EVALUATION if packed[0] else None),
        real=given.REAL.value,
        trusts_saved_models=given.TRUST_SAVED_MODELS.value,
    )


def _report() -> None:
    import_tensorflow()
    from trainer.report.page import write_report
    from trainer.run.run_dir import REPORT
    from trainer.storage.files import check_no_folder

    output = given.OUTPUT.value or os.path.join(_run_dirs()[0], REPORT)
    check_no_folder(output, "report.html")
    write_report(_run_dirs(), output)
    print(output)


def _preflight() -> None:
    config = _validated_config()

    import_tensorflow()
    from trainer.tpu.preflight import preflight

    preflight(config, given.TOPOLOGY.value, given.OUTPUT.value)


def _sweep() -> None:
    if not given.SWEEP.value:
        raise UserError(
            f"--sweep_rungs={','.join(given.SWEEP_RUNGS.value)} is for a sweep: give --sweep too, "
            "such as --sweep=seed=1,2."
        )

    import_tensorflow()
    from trainer.sweep.sweep import sweep

    # Not validated: it may lack what every combination of the sweep brings.
    config, axes, rungs = given.CONFIG.value, given.SWEEP.value, given.SWEEP_RUNGS.value
    sweep(config, axes, rungs, _run_dir(), given.arguments(), given.SWEEP_PROCESSES.value)


def _validated_config() -> Config:
    config = given.CONFIG.value
    config.validate()
    data, evaluation = config.data, config.evaluation
    data.records_dir = _path("config.data.records_dir", data.records_dir)
    evaluation.extractor = _path("config.evaluation.extractor", evaluation.extractor)
    return config


def _run_dir() -> str:
    run_dir = given.RUN_DIR.value or _path("run_dir", given.default_run_dir())
    mode = given.MODE.value
    if run_dir.startswith(PRETRAINED) and mode not in ("sample", "export", "evaluate"):
        raise UserError(
            f"--run_dir={run_dir}: a trained generator that comes along is for --mode=sample, "
            f"export and evaluate; --mode={mode} needs a folder."
        )
    return run_dir


def _run_dir_and_results() -> tuple[str, str]:
    """Where the generator lies, and where what is made of it goes: there too, or, of one that
    comes along, the working folder."""
    from trainer.run.pretrained import folder_of

    run_dir = _run_dir()
    packed = folder_of(run_dir)
    return (packed, "") if packed else (run_dir, run_dir)


def _run_dirs() -> list[str]:
    if os.path.exists(_run_dir()):
        return [_run_dir()]  # the comma is part of its name
    paths = [_path("run_dir", path) for path in _run_dir().split(",") if path]
    if not paths:
        raise UserError(f"flag --run_dir={_run_dir()}: names no folder.")
    return paths


def _path(flag: str, value: str) -> str:
    try:
        return user_path(value)
    except UserError as error:
        raise UserError(f"flag --{flag}={value}: {error}") from error


if __name__ == "__main__":
    run()
