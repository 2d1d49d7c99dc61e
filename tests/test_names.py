"""Names of files and folders that people do give, through every mode; each is only a name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from absl.testing import flagsaver

from tests.conftest import make_strategy_of, real_batch
from tests.helpers.command import ENVIRONMENT, command_on_20_images
from tests.helpers.examples import prepared
from tests.helpers.tiny import tiny_config
from trainer import main
from trainer.cli import trainer_flags
from trainer.cli.paths import user_path
from trainer.config import Config
from trainer.errors import UserError
from trainer.evaluate_runs import evaluate_runs
from trainer.report.page import write_report
from trainer.run.checkpoints import load_generator
from trainer.run.run_dir import grid_paths
from trainer.run.signals import SignalWatch
from trainer.sampling.export import export_generator
from trainer.sampling.sampler import Sampler
from trainer.sampling.writing import write_samples
from trainer.storage.files import names_in
from trainer.sweep.processes import run_trials
from trainer.sweep.trials import trials
from trainer.train import train

NAME = "-sp ace, [1]*?{a,b}%41%s#$HOME'\"`\\u0041&;|<>!\u00e9\U0001f600\n\tline."


def test_a_name_is_only_a_name_in_every_mode(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    config = tiny_config(prepared(folder, real_batch(0, 40)))
    config.train.steps, config.train.jit_compile = 2, "false"
    taken = keras.Input((8, 8, 1))
    model = keras.Model(taken, keras.layers.AveragePooling2D(4)(taken))
    model.save(folder / f"{NAME}.keras")
    config.evaluation.extractor, config.evaluation.images = str(folder / f"{NAME}.keras"), 10
    run_dir = str(folder / f"{NAME}run")
    train(config, make_strategy_of(1), run_dir)
    assert grid_paths(run_dir)

    generator = load_generator(run_dir)
    outputs = [str(folder / f"{NAME}{end}") for end in (".npz", ".png", "samples")]
    for output in outputs:
        write_samples(Sampler(generator), 0, 3, output)
    assert np.load(outputs[0])["images"].shape == (3, 8, 8, 1)
    assert len(names_in(outputs[2])) == 3

    export_generator(generator, str(folder / f"{NAME}export"))
    output = folder / f"new {NAME}" / f"{NAME}.json"
    evaluate_runs(
        [run_dir, str(folder / f"{NAME}export")],
        checkpoint="",
        count=None,
        seed=0,
        config=config,
        output=str(output),
        trusts_saved_models=True,
    )
    assert len(json.loads(output.read_text())) == 2
    write_report([run_dir], str(folder / f"{NAME}.html"))
    assert (folder / f"{NAME}.html").exists()
    assert os.listdir(tmp_path) == [NAME]


def test_the_command_line_with_every_sign(tmp_path: Path) -> None:
    """The config lies there too."""
    folder = tmp_path / NAME
    folder.mkdir()
    command = command_on_20_images(folder, xla=True)
    command.finish("--config.train.steps=2", f"--compile_cache={folder}/cache, a\"'", run=NAME)
    assert (folder / NAME / "checkpoints/step-2.index").exists()
    assert list((folder / "cache, a\"'").rglob("*.pb"))
    assert os.listdir(tmp_path) == [NAME]


def test_a_sweep_in_such_a_folder(tmp_path: Path) -> None:
    of_sweep = trials(Config(), ["seed=1"], str(tmp_path / NAME))
    command = [sys.executable, "-c", "import sys; print(sys.argv[1])"]
    (ended,) = run_trials(of_sweep, command, 1, SignalWatch())
    assert ended.exit_code == 0 and os.listdir(tmp_path) == [NAME]
    assert f"--run_dir={tmp_path / NAME}/seed=1" in Path(ended.trial.output).read_text()


@pytest.mark.parametrize("flag", ["run_dir", "output", "compile_cache"])
@pytest.mark.parametrize(
    "value, words",
    [
        ("", "it is empty: give a path"),
        ("a\udcff", r"the name 'a\\udcff' is not UTF-8, in which TensorFlow takes names: rename"),
        ("s3://bucket/a", "s3:// is not known here: give a local path, or gs://"),
        ("file:///a", "file:// is not known here"),
        ("~nosuchuser/a", "~nosuchuser is nobody's home folder here: .* give ./~nosuchuser/a"),
    ],
)
def test_what_is_no_path_is_refused_at_once(flag: str, value: str, words: str) -> None:
    mode = "sample" if flag == "output" else "train"
    with flagsaver.flagsaver(), pytest.raises(UserError, match=words):
        trainer_flags.parse(["main", f"--mode={mode}", f"--{flag}={value}"])


@pytest.mark.parametrize("field", ["data.records_dir", "evaluation.extractor"])
def test_paths_in_a_config(field: str) -> None:
    with flagsaver.flagsaver():
        trainer_flags.parse(["main", f"--config.{field}=~/a,b"])
        config = main._validated_config()
        section, name = field.split(".")
        assert getattr(getattr(config, section), name) == os.path.expanduser("~/a,b")
    with flagsaver.flagsaver():
        trainer_flags.parse(["main", f"--config.{field}=\udcff"])
        with pytest.raises(UserError, match=f"--config.{field}=.*not UTF-8"):
            main._validated_config()


def test_home_and_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a,b").mkdir()
    assert user_path("~/a[1]") == f"{tmp_path}/a[1]" and user_path("gs://b/~") == "gs://b/~"
    for given, found in {"~/a,b": ["a,b"], "~/a,~/b": ["a", "b"], "~/c,": ["c"]}.items():
        with flagsaver.flagsaver():
            trainer_flags.parse(["main", "--mode=report", f"--run_dir={given}"])
            assert main._run_dirs() == [f"{tmp_path}/{name}" for name in found]
    with flagsaver.flagsaver():
        trainer_flags.parse(["main", "--mode=report", "--run_dir=base,gs://b/run"])
        assert main._run_dirs() == ["base", "gs://b/run"]


def test_bytes_that_are_not_utf_8_are_told_without_a_traceback(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    done = subprocess.run(
        [sys.executable, "-m", "trainer.main", b"--run_dir=" + name],
        env=os.environ | ENVIRONMENT | {"LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
    )
    assert done.returncode == 2 and not os.listdir(tmp_path)
    assert b"is not UTF-8" in done.stderr and b"Traceback" not in done.stderr
