"""Kills runs on gs:// again and again while the storage fails at random; the bits must be right.

  python -m tests.gs_soak --kills=5

trains a small model on local paths without a stop, and the same with records and run directory on
a local Google Cloud Storage that fails some requests all the time, with `--kills` SIGKILLs at
random moments. Then it compares every variable, every grid and every line of metrics, and runs
the other modes, evaluate, export, sample, report and a sweep, on gs:// under the same faults.
Exit code 0: all equal.
"""

import collections
import functools
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.helpers.command import Command, assert_same_run, command_on_20_images
from tests.helpers.examples import pixels
from tests.helpers.gs import client_of, download, upload
from tests.helpers.local_gcs import LocalGcs
from tests.helpers.programs import run_python
from tests.helpers.soak import kill_after, parsed

RECORDS, MANY, RUN = "gs://bucket/records", "gs://bucket/many", "gs://bucket/runs/killed"


def kill_repeatedly(command: Command, gcs: LocalGcs, flags: list[str], kills: int) -> None:
    """Starts the run and kills it, so many times."""
    for number in range(1, kills + 1):
        process = command.start(*flags)
        seconds = random.uniform(6.0, 25.0)
        kill_after(process, seconds)
        process.communicate()
        names = client_of(gcs).glob(f"{RUN}/checkpoints/step-*.index")
        steps = [int(Path(name).stem.split("-")[1]) for name in names]
        print(f"kill {number:2d} after {seconds:4.1f} s: step {max(steps, default=0)}", flush=True)


def prepare_many(command: Command) -> None:
    """Prepares images enough for an evaluation, on gs://."""
    np.savez(command.folder / "many.npz", images=pixels(300, 8, 8, 1))
    flags = (f"--source=npz:{command.folder}/many.npz", f"--output={MANY}")
    done = run_python("-m", "trainer.data.prepare", *flags, **command.environment)
    assert done.returncode == 0, done.stderr


def other_modes(command: Command, gcs: LocalGcs) -> None:
    """Every mode that reads or writes runs, on gs://; raises where one fails."""
    finish = functools.partial(command.finish, f"--run_dir={RUN}", seconds=900)
    prepare_many(command)
    finish("--mode=evaluate", "--count=130", f"--config.data.records_dir={MANY}")
    finish("--mode=export")
    finish("--mode=sample", f"--output={RUN}/drawn")
    finish("--mode=report")
    sweep = ("--run_dir=gs://bucket/sweep", "--sweep=seed=1,2", "--config.train.steps=10")
    assert "loss/generator" in finish(*sweep)
    found = {path.removeprefix("bucket/") for path in client_of(gcs).find("gs://bucket")}
    for name in (
        *("runs/killed/evaluation.json", "runs/killed/export/saved_model.pb"),
        *("runs/killed/drawn/000063.png", "runs/killed/report.html", "sweep/seed=2/output.txt"),
    ):
        assert name in found, name


def main() -> None:
    """Parses the command line and runs the soak in a temporary folder."""
    given = parsed(
        __doc__,
        kills=(5, "kills of the run on gs://"),
        steps=(1_500, "length of the run"),
        fault_share=(0.03, "of all requests"),
    )
    flags = [
        f"--config.train.steps={given.steps}",
        *("--config.train.checkpoint_every_steps=50", "--config.train.log_every_steps=25"),
        "--config.train.grid_every_epochs=50",
    ]
    with tempfile.TemporaryDirectory() as folder, LocalGcs() as gcs:
        command = command_on_20_images(Path(folder), xla=True)
        print(f"the straight run of {given.steps} steps ...", flush=True)
        command.finish(*flags, run="straight")
        upload(Path(folder, "records"), client_of(gcs), RECORDS)
        cache = {"TRAINER_CACHE_DIR": f"{gcs.certificate.parent}/cache"}
        command = Command(Path(folder), RECORDS, xla=True, **gcs.environment, **cache)
        gcs.random_share = given.fault_share
        kill_repeatedly(command, gcs, [*flags, f"--run_dir={RUN}"], given.kills)
        command.finish(*flags, f"--run_dir={RUN}", seconds=900)
        killed = download(client_of(gcs), RUN, Path(folder, "killed"))
        assert_same_run(Path(folder, "straight"), killed, given.steps)
        print(f"{given.kills} kills: equal to the last bit", flush=True)
        other_modes(command, gcs)
        kinds = collections.Counter(met.split()[0] for met in gcs.met)
        print(f"{len(gcs.requests)} requests, of which failed: {dict(kinds)}")


if __name__ == "__main__":
    sys.exit(main())
