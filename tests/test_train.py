"""Whole runs of the smallest config through `main`, as users start them."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.command import (
    Command,
    assert_same_run,
    command_on_20_images,
    losses,
    metrics,
    wait_for,
)
from tests.helpers.environments import environments, merged
from tests.helpers.made_up_run import Page

Whole = tuple[Command, Path, str]  # with the run directory and the output


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run that was never stopped: 20 images, batches of 8, 2 epochs, so 5 steps."""
    command = command_on_20_images(tmp_path_factory.mktemp("whole"), xla=True)
    return command, command.folder / "run", command.finish()


def test_the_run_directory_holds_what_it_should(whole: Whole) -> None:
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
    assert output.count(f"first grid: {run}/samples/epoch_0001.png\n") == 1
    assert output.count(f"\ngrid: {run}/samples/epoch_0002.png\n") == 1
    # The config names another source, none, as a config may that knows nothing of this machine.
    source = f"npz:{run.parent / 'images.npz'}"
    assert f"records was prepared from {source}, which is taken; the config names none" in output
    assert f"20 images of {source}" in output
    data = json.loads((run / "data.json").read_text())
    assert data == {"source": source, "num_images": 20, "class_names": ["0", "1"]}
    assert ["source", source] in Page(run / "report.html").rows()


def test_tensorboard_reads_what_was_written(whole: Whole) -> None:
    _, run, _ = whole
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    lines = metrics(run)
    assert [line["step"] for line in lines] == [1, 2, 4, 5]
    assert lines[-1]["epoch"] == 2.0
    names = set(lines[-1]) - {"step", "epoch"}
    assert {
        *("loss/generator", "loss/discriminator", "loss/discriminator_real"),
        *("loss/discriminator_fake", "learning_rate/generator", "learning_rate/discriminator"),
        *("discriminator/real_probability", "discriminator/fake_probability"),
        *("speed/images_per_second", "speed/input_wait_fraction"),
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
    assert '"latent_dim": 8' in config and '"source": "npz:' in config


def test_a_finished_run_says_so_and_goes_on_when_asked(whole: Whole) -> None:
    command, run, _ = whole
    before = metrics(run)
    assert "is finished: step 5 of 5" in command.finish()
    assert metrics(run) == before


def test_no_environment_changes_the_bits(whole: Whole) -> None:
    command, run, _ = whole
    for number, environment in enumerate(merged(environments(command.folder))):
        other = f"environment-{number}"
        process = command.start(run=other, **environment)
        output = process.communicate(timeout=300)[0]
        assert process.returncode == 0, output
        assert_same_run(run, command.folder / other, 5)
        told = json.loads((command.folder / other / "environment.json").read_text())["settings"]
        assert f"TF_ENABLE_ONEDNN_OPTS={environment['TF_ENABLE_ONEDNN_OPTS']}" in told
    assert number == 1


def test_killed_and_started_again_ends_the_same(whole: Whole) -> None:
    command, _, _ = whole
    long_run = ["--config.train.steps=160", "--config.train.checkpoint_every_steps=20"]
    process = command.start(*long_run, run="killed")
    wait_for(command.folder / "killed/checkpoints/step-40.index")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    output = command.finish(*long_run, run="killed")
    assert "goes on from step" in output
    command.finish(*long_run, run="straight")
    killed, straight = command.folder / "killed", command.folder / "straight"
    assert_same_run(straight, killed, 160)
    events = EventAccumulator(str(killed / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    steps = [event.step for event in events.Tensors("loss/generator")]
    assert steps == [line["step"] for line in losses(straight)]


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_save_first(whole: Whole, number: signal.Signals, code: int) -> None:
    command, _, _ = whole
    name = f"stopped-{code}"
    process = command.start("--config.train.steps=100000", run=name)
    wait_for(command.folder / name / "metrics.jsonl")
    process.send_signal(number)
    output = process.communicate(timeout=150)[0]
    assert process.returncode == code, output
    assert "give the same command again to go on" in output
    stopped_at = int(output.split("at step ")[-1].split(" of")[0])
    assert (command.folder / name / f"checkpoints/step-{stopped_at}.index").exists()


def test_sample_and_export(whole: Whole, tmp_path: Path) -> None:
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
        (["--config.train.diff_augment=color,colour"], "train.diff_augment is 'color,colour'"),
        (["stray"], "unexpected argument 'stray'"),
        (["--config.model.latent_dim=9"], "model.latent_dim: the run has 8, you ask for 9"),
        (["--config.data.source=digits"], "records was prepared from npz:"),
        (["--mode=sample", "--run_dir=nowhere"], "nowhere holds no run"),
    ],
)
def test_bad_usage_is_one_clear_line(whole: Whole, flags: list[str], words: str) -> None:
    output = whole[0].finish(*flags, exit_code=2)
    last = output.splitlines()[-1]
    assert last.startswith("error: ") and words in last
    assert "Traceback" not in output


def test_divergence_names_the_step_and_the_last_good_checkpoint(
    whole: Whole,
) -> None:
    flags = ["--config.optimizer.discriminator.learning_rate=1e38", "--config.train.steps=40"]
    output = whole[0].finish(*flags, run="diverged", exit_code=1)
    assert "at step" in output.splitlines()[-1]
    assert "last good checkpoint" in output.splitlines()[-1]
