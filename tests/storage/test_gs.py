"""Whole runs with records and run directory on gs://, as users start them."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.command import Command, assert_same_run, command_on_20_images, losses, metrics
from tests.helpers.gs import client_of, download, upload
from tests.helpers.local_gcs import LocalGcs
from tests.helpers.programs import run_python
from trainer.run.checkpoints import load_generator
from trainer.sampling.sampler import Sampler

RUN = "gs://bucket/runs/killed"
ON_GS = f"--run_dir={RUN}"
STEPS = 40
FLAGS = [
    *(f"--config.train.steps={STEPS}", "--config.train.checkpoint_every_steps=8"),
    "--config.train.grid_every_epochs=8",
]


class Run:
    """One training on gs:// that is killed, meets faults, and is resumed; and one on local paths.

    Attributes:
        straight: run directory of the local training, which nothing disturbed.
        killed: a copy of that of the other.
    """

    def __init__(self, gcs: LocalGcs, folder: Path) -> None:
        self.gcs = gcs
        self.command = command_on_20_images(folder)
        environment = gcs.environment | {
            "TRAINER_CACHE_DIR": str(folder / "cache"),
            "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "10000",  # TensorFlow's own, a second otherwise
        }
        self.command.finish(*FLAGS, run="straight")
        self.straight = folder / "straight"
        upload(folder / "records", client_of(gcs), "gs://bucket/records")
        self.command = Command(folder, "gs://bucket/records", **environment)
        process = self.command.start(*FLAGS, ON_GS)
        wait_for_object(gcs, f"{RUN}/checkpoints/step-16.index")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.at_kill = download(client_of(gcs), RUN, folder / "at_kill")
        gcs.inject(503, times=3, path="checkpoints")
        gcs.inject(429, times=2, method="GET", path="metrics.jsonl")
        gcs.inject("cut_upload", times=3, method="PUT", path="step-.*upload_id")
        gcs.inject("lost_answer", times=2, path="rewriteTo")
        gcs.inject("lost_answer", times=2, method="PUT", path="metrics.jsonl")
        gcs.inject("reset", times=2, method="DELETE")
        gcs.inject("cut_download", times=2, path="step-.*data")
        self.output = self.command.finish(*FLAGS, ON_GS)
        self.killed = download(client_of(gcs), RUN, folder / "killed")
        self.requests = list(gcs.requests)


def wait_for_object(gcs: LocalGcs, path: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not client_of(gcs).exists(path):
        assert time.monotonic() < deadline, f"{path} was not written within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with LocalGcs() as gcs:
        yield Run(gcs, tmp_path_factory.mktemp("gs"))


def test_a_killed_run_on_gs_ends_with_the_bits_of_a_local_one(run: Run) -> None:
    assert "goes on from step" in run.output
    assert_same_run(run.straight, run.killed, STEPS)
    assert len(losses(run.straight)) == STEPS / 2


def test_the_faults_were_met(run: Run) -> None:
    assert {met.split()[0] for met in run.gcs.met} == {
        *("503", "429", "cut_upload", "lost_answer", "reset", "cut_download")
    }


def test_a_run_directory_on_gs_holds_what_a_local_one_does(run: Run) -> None:
    def names(folder: Path) -> set[str]:
        paths = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        return {path for path in paths if "tfevents" not in path}

    assert names(run.killed) == names(run.straight) - {"run.lock"}  # gone with its holder on gs://


def test_what_was_written_before_the_kill_was_there_after_it(run: Run) -> None:
    steps = [line["step"] for line in metrics(run.at_kill)]
    assert steps[-1] >= 16


def test_files_that_grow_are_uploaded_once_a_checkpoint(run: Run) -> None:
    """Not once a line. Besides, writers open and close, the resume drops lines, faults repeat."""
    for name in ("metrics.jsonl", "tfevents"):
        begun = [
            request
            for request in run.requests
            if request.startswith("POST") and "uploadType=resumable" in request and name in request
        ]
        assert STEPS / 8 <= len(begun) <= STEPS / 8 + 9 < STEPS / 2, begun


def test_an_export_goes_to_gs(run: Run, tmp_path: Path) -> None:
    run.command.finish("--mode=export", ON_GS)
    export = download(client_of(run.gcs), f"{RUN}/export", tmp_path)
    sample = tf.saved_model.load(str(export)).signatures["sample"]
    drawn = sample(seed=tf.constant(0, tf.int64), count=tf.constant(9, tf.int64))["images"]
    expected = Sampler(load_generator(str(run.straight))).images(seed=0, count=9)
    np.testing.assert_array_equal(np.concatenate(list(expected)), drawn.numpy())


def test_a_refusal_names_bucket_and_mend(run: Run) -> None:
    run.gcs.inject(403, times=1000)
    try:
        output = run.command.finish("--mode=report", ON_GS, exit_code=2)
    finally:
        run.gcs.heal()
    last = output.splitlines()[-1]
    assert last.startswith(f"error: {RUN}/config.json cannot be used (HTTP status 403)")
    assert "roles/storage.objectUser" in last


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--compile_cache=gs://bucket/cache", "give a local folder"),
        ("--config=gs://bucket/config.py", "on a local disk; copy it here"),
    ],
)
def test_what_cannot_be_on_gs_is_refused(tmp_path: Path, flag: str, words: str) -> None:
    command = Command(tmp_path, records=str(tmp_path / "records"))
    output = command.finish(flag, exit_code=2)
    assert output.splitlines()[-1].startswith("error: ") and words in output.splitlines()[-1]


def test_local_paths_do_without_gcsfs(tiny_records: str) -> None:
    code = f"""
import sys
import trainer.train
from trainer.data.pipeline import batches_in_order
from trainer.data.tfrecord import read_manifest
assert sum(len(images) for images, _ in batches_in_order({tiny_records!r},
                                                         read_manifest({tiny_records!r}))) == 20
assert not [name for name in sys.modules if name.startswith(("gcsfs", "google.cloud.storage"))]
"""
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
