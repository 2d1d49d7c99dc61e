"""A training run, top to bottom: data, state, loop, results."""

import contextlib
import os
import shlex
import zlib

import tensorflow as tf

from trainer.config import Config
from trainer.data.pipeline import check_enough_images
from trainer.data.preparation import prepared_records
from trainer.errors import DivergedError
from trainer.loop import Run
from trainer.run.compiler import decided, keep_choice, kept_choice
from trainer.run.data_record import tell_other_records, write_data_record
from trainer.run.environment import environment, tell_other_machine
from trainer.run.lock import locked
from trainer.run.metrics_file import read_metrics
from trainer.run.phases import Phases
from trainer.run.room import check_room
from trainer.run.run_dir import (
    LOSSES,
    REPORT,
    SAMPLES,
    TIMELAPSE,
    check_run_dir,
    claim_run_dir,
    grid_paths,
)
from trainer.sampling.pictures import loss_plot, timelapse
from trainer.storage.files import write_bytes
from trainer.strategy import check_agreement, check_shares, is_chief


def train(
    config: Config, strategy: tf.distribute.Strategy, run_dir: str, phases: Phases | None = None
) -> Run:
    """Trains to the end, going on from the run directory's newest checkpoint.

    Only the chief writes to the run directory. `phases` is where the time went so far.

    Returns:
        The run that has ended. To free it can take a minute: see `batches` there.

    Raises:
        UserError: bad input, the run directory of another run, or no room for this one.
        DiskError: a disk refuses.
        DivergedError: a loss or a weight is not finite.
        StoppedError: SIGTERM or Ctrl-C; the state was saved first.
    """
    # ------------------------------------------------------------ What can be checked at once
    phases = phases or Phases()
    check_shares(config, strategy)
    chief = is_chief(strategy)
    if chief:
        check_run_dir(run_dir, config)
    # What the machine decides; config.json holds what the user asked for.
    kept = kept_choice(run_dir)
    on_machine = decided(config, strategy, kept)
    machine = environment(on_machine, strategy)

    # ------------------------------------------------------------ Data
    with phases.phase("data"):
        manifest = prepared_records(config, config.model.num_classes)
    check_enough_images(manifest, config.train.global_batch_size)

    with locked(run_dir) if chief else contextlib.nullcontext():
        if chief:
            if kept is not None:
                tell_other_machine(run_dir, machine)
                keep_choice(run_dir, kept)
            claim_run_dir(run_dir, config, machine)
            tell_other_records(run_dir, manifest, "now trained on")
            write_data_record(run_dir, manifest)

        # -------------------------------------------------------- State
        with phases.phase("networks"), strategy.scope():
            run = Run(on_machine, machine, strategy, manifest, run_dir, chief, phases)
        # Where to start: 1. the newest checkpoint that can be read; 2. the initial weights.
        start = run.checkpoints.restore() or 0
        if chief:
            check_room(run_dir, config, run.schedule, start, run.gan.saved_bytes)
        same = {
            "config": zlib.crc32(config.to_json().encode()),
            "last checkpoint": start,
            "train.jit_compile (auto decides it by the CPU; true or false would do)": int(
                machine["xla"]
            ),
            "oneDNN (by the CPU or TF_ENABLE_ONEDNN_OPTS)": int(machine["onednn"]),
            "threads (cores, or TF_NUM_INTRAOP_THREADS)": int(machine["threads"]),
        }
        check_agreement(strategy, same)

        # -------------------------------------------------------- Loop
        if start >= run.schedule.total_steps and chief:
            _tell_finished(run, start)
        while start < run.schedule.total_steps and not run.ended_early:
            try:
                start = run.loop(start)
            except DivergedError as error:
                start = run.roll_back(error)

        # -------------------------------------------------------- Results
        if chief:
            _write_results(run)
    return run


def _tell_finished(run: Run, step: int) -> None:
    print(
        f"{run.run_dir} is finished: step {step} of {run.schedule.total_steps}. To go on, raise "
        "--config.train.epochs or --config.train.steps; to start anew, choose another --run_dir."
    )


def _write_results(run: Run) -> None:
    """Draws the pictures and the report, and says where everything is."""
    # For which the first step should not wait.
    from trainer.report.page import write_report

    run_dir = run.run_dir
    pictures = [os.path.join(run_dir, LOSSES)]
    write_bytes(pictures[0], loss_plot(read_metrics(run_dir)))
    if moving := timelapse(grid_paths(run_dir)):
        pictures.append(os.path.join(run_dir, TIMELAPSE))
        write_bytes(pictures[1], moving)
    if run.monitor:
        pictures.append(run.monitor.write_nearest())
    report = os.path.join(run_dir, REPORT)
    write_report([run_dir], report)
    print(f"Grids:       {run_dir}/{SAMPLES}/")
    for path in pictures:
        print(f"Picture:     {path}")
    print(f"Report:      {report}")
    quoted = shlex.quote(run_dir)
    print(f"TensorBoard: tensorboard --logdir {quoted}")
    print(f"Samples:     python -m trainer.main --mode=sample --run_dir={quoted}")
