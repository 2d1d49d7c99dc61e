"""Whole runs of the smallest config through `main`, as users start them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import real_batch
from trainer.data.prepare import prepare

CONFIG = """
from tests.tiny import tiny_config

def get_config():
    return tiny_config({records!r})
"""


class Command:
    """The trainer's command line on a folder of its own."""

    def __init__(self, folder: Path, records: str) -> None:
        self.folder = folder
        self.config = folder / "tiny.py"
        self.config.write_text(CONFIG.format(records=records))

    def start(self, *flags: str, run: str = "run") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "trainer.main", f"--config={self.config}"),
                *(f"--run_dir={self.folder / run}", *flags),
            ],
            env=os.environ | {"PYTHONPATH": os.getcwd(), "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, *flags: str, run: str = "run", exit_code: int = 0) -> str:
        process = self.start(*flags, run=run)
        output = process.communicate(timeout=180)[0]
        assert process.returncode == exit_code, output
        return output


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path, step: int) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(run / f"checkpoints/step-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VALUE")]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Command, Path, str]:
    """A run that was never stopped: 20 images, batches of 8, 2 epochs, so 5 steps."""
    folder = tmp_path_factory.mktemp("whole")
    images = np.concatenate([real_batch(s, 10) for s in (0, 1)])
    np.savez(folder / "images.npz", images=images)
    prepare(f"npz:{folder / 'images.npz'}", str(folder / "records"), shards=2)
    command = Command(folder, str(folder / "records"))
    return command, folder / "run", command.finish()


def test_the_run_directory_holds_what_it_should(whole: tuple[Command, Path, str]) -> None:
    _, run, output = whole
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {"config.json", "metrics.jsonl", "losses.png", "timelapse.gif"} <= found
    assert {"samples/epoch_0001.png", "samples/epoch_0002.png"} <= found
    assert {"checkpoints/step-4.index", "checkpoints/step-5.index"} <= found
    assert not [name for name in found if "tmp" in name]
    assert Image.open(run / "samples/epoch_0002.png").size == (3 * 10 + 2, 3 * 10 + 2)
    assert Image.open(run / "timelapse.gif").n_frames == 2
    for path in ("samples/", "losses.png", "timelapse.gif", "tensorboard --logdir"):
        assert path in output


def test_tensorboard_reads_what_was_written(whole: tuple[Command, Path, str]) -> None:
    _, run, _ = whole
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    lines = metrics(run)
    assert [line["step"] for line in lines] == [1, 2, 4, 5]
    assert lines[-1]["epoch"] == 2.0
    names = set(lines[-1]) - {"step", "epoch"}
    assert {
        "loss/generator",
        "loss/discriminator",
        "loss/discriminator_real",
        "loss/discriminator_fake",
        "discriminator/real_probability",
        "discriminator/fake_probability",
        "learning_rate/generator",
        "learning_rate/discriminator",
        "speed/images_per_second",
        "speed/input_wait_fraction",
    } <= names
    for name in names:
        series = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(name)}
        assert series == {line["step"]: pytest.approx(line[name]) for line in lines if name in line}
    images = events.Tensors("samples/fixed_noise")
    assert [event.step for event in images] == [3, 5]
    png = tf.io.decode_png(images[-1].tensor_proto.string_val[2]).numpy()
    np.testing.assert_array_equal(
        png.squeeze(2), np.asarray(Image.open(run / "samples/epoch_0002.png"))
    )
    config = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert '"latent_dim": 8' in config


def test_a_finished_run_says_so_and_goes_on_when_asked(whole: tuple[Command, Path, str]) -> None:
    command, run, _ = whole
    before = metrics(run)
    assert "is finished: step 5 of 5" in command.finish()
    assert metrics(run) == before


def test_killed_and_started_again_ends_the_same(whole: tuple[Command, Path, str]) -> None:
    command, _, _ = whole
    long_run = ["--config.train.steps=400", "--config.train.checkpoint_every_steps=20"]
    process = command.start(*long_run, run="killed")
    index = command.folder / "killed/checkpoints/step-40.index"
    deadline = time.monotonic() + 120
    while not index.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    output = command.finish(*long_run, run="killed")
    assert "goes on from step" in output
    command.finish(*long_run, run="straight")
    killed, straight = (weights(command.folder / name, 400) for name in ("killed", "straight"))
    assert killed.keys() == straight.keys() and len(killed) > 30
    for name, value in straight.items():
        np.testing.assert_array_equal(killed[name], value, err_msg=name)
    steps = [line["step"] for line in metrics(command.folder / "killed")]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_save_first(
    whole: tuple[Command, Path, str], number: signal.Signals, code: int
) -> None:
    command, _, _ = whole
    name = f"stopped-{code}"
    process = command.start("--config.train.steps=100000", run=name)
    log = command.folder / name / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert "give the same command again to go on" in output
    stopped_at = int(output.split("at step ")[-1].split(" of")[0])
    assert (command.folder / name / f"checkpoints/step-{stopped_at}.index").exists()


def test_two_logical_devices_end_where_one_does(whole: tuple[Command, Path, str]) -> None:
    command, run, _ = whole
    command.finish("--strategy=mirrored", "--logical_devices=2", run="two")
    one, two = weights(run, 5), weights(command.folder / "two", 5)
    for name, value in one.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-5 * scale, err_msg=name)


def test_sample_and_export(whole: tuple[Command, Path, str], tmp_path: Path) -> None:
    command, run, _ = whole
    command.finish("--mode=sample", "--count=9", f"--output={tmp_path}/a.png")
    np.testing.assert_array_equal(
        Image.open(tmp_path / "a.png"), Image.open(run / "samples/epoch_0002.png")
    )
    command.finish("--mode=export")
    loaded = tf.saved_model.load(str(run / "export"))
    assert set(loaded.signatures) == {"serving_default", "sample"}


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--config.train.epoch=3"], "did you mean train.epochs?"),
        (["--config.train.epochs=many"], "many"),
        (["--config.train.epochs=-1"], "train.epochs is -1; it must be at least 1"),
        (["--config=missing.py"], "--config=missing.py cannot be used"),
        (["--nonsense=1"], "nonsense"),
        (["stray"], "unexpected argument 'stray'"),
        (["--config.model.latent_dim=9"], "model.latent_dim: the run has 8, you ask for 9"),
        (["--config.train.global_batch_size=64", "--run_dir=/proc/run"], "cannot be written"),
        (["--strategy=multiworker"], "TF_CONFIG, which is not set"),
        (["--strategy=nonsense"], "nonsense"),
        (["--mode=sample", "--run_dir=nowhere"], "nowhere holds no run"),
    ],
)
def test_bad_usage_is_one_clear_line(
    whole: tuple[Command, Path, str], flags: list[str], words: str
) -> None:
    output = whole[0].finish(*flags, exit_code=2)
    last = output.splitlines()[-1]
    assert last.startswith("error: ") and words in last
    assert "Traceback" not in output


def test_divergence_names_the_step_and_the_last_good_checkpoint(
    whole: tuple[Command, Path, str],
) -> None:
    flags = ["--config.optimizer.discriminator.learning_rate=1e38", "--config.train.steps=40"]
    output = whole[0].finish(*flags, run="diverged", exit_code=1)
    assert "at step" in output.splitlines()[-1]
    assert "last good checkpoint" in output.splitlines()[-1]
