from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from configs import digits
from tests.helpers.programs import run_python
from trainer.cli import trainer_flags
from trainer.cli.arguments import flags_without
from trainer.cli.help import answer
from trainer.cli.trainer_flags import MODES, MODES_OF
from trainer.errors import UserError


@pytest.fixture(autouse=True)
def flags_stay() -> Iterator[None]:
    with flagsaver.flagsaver():
        yield


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--label=3"], "--label=3 is not used by --mode=train, only by sample"),
        (["--count", "3"], "--count is not used by --mode=train, only by sample, evaluate"),
        (["--mode=sample", "--config=mnist"], "only by train, evaluate, preflight"),
        (["--mode=export", "--config.train.steps=3"], "--config.train.steps=3 is not used by"),
        (["--mode", "sample", "--nodeterministic"], "--nodeterministic is not used by"),
        (["--mode=preflight", "--run_dir=r"], "--run_dir=r is not used by --mode=preflight"),
        (["--mode=evaluate", "--config.seed=3"], "only if you give --config too"),
        (["--config.train.epoch=3"], "did you mean train.epochs?"),
        (["--epochs=3"], "no flag --epochs: did you mean --config.train.epochs?"),
        (["--rundir=r"], "did you mean --run_dir?"),
        (["--mode=sample", "--seed=3"], "did you mean --sample_seed?"),
        (["--mode=sample", "--epochs=3"], "no flag --epochs: --help shows"),
        (["--config.train.epochs=many"], "many"),
        (["--strategy=nonsense"], "nonsense"),
        (["--config=mnits"], "flag --config=mnits: there is no such config: did you mean mnist?"),
    ],
)
def test_bad_usage(arguments: list[str], words: str) -> None:
    with pytest.raises((UserError, flags.Error)) as caught:
        trainer_flags.parse(["main", *arguments])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_default_config_with_a_field_changed() -> None:
    assert trainer_flags.parse(["main", "--config.train.steps=5"]) == ["main"]
    expected = digits.get_config()
    expected.train.steps = 5
    assert trainer_flags.CONFIG.value == expected
    assert trainer_flags.default_run_dir() == "runs/digits"


def test_the_run_directory_follows_the_config() -> None:
    trainer_flags.parse(["main", "--config=configs/mnist_best.py"])
    assert trainer_flags.default_run_dir() == "runs/mnist_best"


def test_a_mode_that_needs_no_config_reads_none() -> None:
    trainer_flags.parse(["main", "--mode=sample", "--label=3"])
    assert not trainer_flags.CONFIG.present
    assert trainer_flags.default_run_dir() == "runs/digits"


def test_a_sweep_in_a_file_of_flags_does_not_reach_its_runs(tmp_path: Path) -> None:
    (tmp_path / "flags").write_text("--sweep=seed=1,2\n# a comment\n--deterministic\n")
    trainer_flags.parse(["main", f"--flagfile={tmp_path / 'flags'}", "--run_dir=r"])
    assert trainer_flags.SWEEP.value == ["seed=1,2"]
    shared = flags_without(trainer_flags.arguments(), ("sweep", "run_dir"))
    assert shared == ["--config=digits", "--deterministic"]


@pytest.mark.parametrize("mode", MODES)
def test_help_shows_the_flags_of_the_mode_alone(mode: str) -> None:
    lines = answer(["main", "--help", f"--mode={mode}"]).splitlines()
    shown = {line.strip().strip("-").partition("=")[0] for line in lines if line[:4] == "  --"}
    assert shown - {"mode"} == {name for name, modes in MODES_OF.items() if mode in modes}
    assert len(lines) <= 120


def test_the_whole_help_has_every_flag_and_field() -> None:
    text = answer(["main", "--helpfull"])
    for name in (*MODES_OF, "verbosity", "config.optimizer.discriminator.beta_2"):
        assert f"\n  --{name}" in text


@pytest.mark.parametrize("flag, words", [("--help", "Fields, --config"), ("--version", "dcgan")])
def test_help_needs_no_tensorflow(flag: str, words: str, tmp_path: Path) -> None:
    code = (
        "import atexit, sys; from trainer.main import run\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules)); run()"
    )
    shown = run_python("-c", code, flag, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert words in shown.stdout and shown.stdout.endswith("False\n")


def test_a_source_is_asked_for_on_the_command_line_alone() -> None:
    trainer_flags.parse(["main", "--config=mnist", "--config.data.records_dir=records"])
    assert trainer_flags.asked_source() is None
    assert trainer_flags.CONFIG.value.data.source == "tfds:mnist"
    trainer_flags.parse(["main", "--config=mnist", "--config.data.source=idx:folder"])
    assert trainer_flags.asked_source() == "idx:folder"


def test_an_empty_output_is_refused() -> None:
    with pytest.raises(UserError, match="--output=: it is empty"):
        trainer_flags.parse(["main", "--mode=sample", "--output="])
