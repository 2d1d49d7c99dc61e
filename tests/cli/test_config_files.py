from pathlib import Path

import pytest

from tests.helpers.programs import run_python
from trainer.cli.arguments import with_values
from trainer.cli.config_files import load_config
from trainer.errors import UserError

SEED_7 = "from trainer.config import Config\ndef get_config():\n    return Config(seed=7)\n"
CHANGED = (
    "from trainer.config import Config\ndef get_config():\n    c = Config()\n    {}\n    return c\n"
)


@pytest.mark.parametrize(
    "text, words",
    [
        ("def get_config(:\n", r"it fails in mine\.py, line 1: SyntaxError: "),
        ("\nimport nothing_there\n", r"in mine\.py, line 2: ModuleNotFoundError: No module"),
        ("def get_config():\n    return undefined\n", r"in mine\.py, line 2: NameError: name"),
        ("def get_config():\n    return open('/none')\n", r"in mine\.py, line 2: FileNotFoundErr"),
        (SEED_7.replace("seed", "lr"), r"in mine\.py, line 3: TypeError: .*'lr'"),
        (
            SEED_7.replace(
                "return Config(seed=7)", "c = Config()\n    c.train.step = 1\n    return c"
            ),
            r"in mine\.py, line 4: TrainConfig has no field step: did you mean steps\?",
        ),
        ("import sys\nsys.exit(3)\n", r"it fails in mine\.py, line 2: SystemExit: 3"),
        ("raise GeneratorExit\n", r"it fails in mine\.py, line 1: GeneratorExit: no message"),
        (CHANGED.format("c.train = 5"), r"^train is 5; it takes a TrainConfig\."),
        (CHANGED.format("c.optimizer.generator = c.train"), r"^optimizer\.generator is TrainConf"),
        (CHANGED.format("del c.train"), r"^train was deleted; a config has all its fields\."),
        (CHANGED.format("del c.optimizer.generator.rho"), r"^optimizer\.generator\.rho was del"),
        ("x = 1\n", r"it has no get_config\(\)"),
        ("def get_config():\n    return {}\n", "returns a dict, not a trainer.config.Config"),
    ],
)
def test_bad_files(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        load_config("mine.py")
    assert "\n" not in str(caught.value)


def test_no_two_sections_are_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CHANGED.format("c.optimizer.discriminator = c.optimizer.generator"))
    config = load_config(str(file))
    changed = with_values(config, [("optimizer.generator.learning_rate", "0.5")])
    assert changed.optimizer.generator.learning_rate == 0.5
    assert changed.optimizer.discriminator == config.optimizer.generator


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("mnits", "mnist"),
        ("configs/mnits.py", "configs/mnist.py"),
        ("sub/mime.py", "sub/mine.py"),
        ("our", "configs/our.py"),
    ],
)
def test_what_is_not_there_gets_the_nearest(
    name: str, nearest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path("sub/mine.py"), Path("configs/our.py")):
        path.parent.mkdir()
        path.write_text(SEED_7)
    with pytest.raises(UserError, match=f"there is no such config: did you mean {nearest}\\?"):
        load_config(name)


@pytest.mark.parametrize("is_package", [False, True])
def test_another_folder_of_that_name_beside_ours(is_package: bool, tmp_path: Path) -> None:
    """Each config finds those that it imports, and fails only by the seed that it is given."""
    own = tmp_path / "configs"
    own.mkdir()
    (own / "base.py").write_text(SEED_7)
    (own / "mine.py").write_text("from configs.base import get_config\n")
    if is_package:
        (own / "__init__.py").write_text("")
    for config in ("mnist_best", "configs/mnist_best.py", "configs/mine.py", str(own / "mine.py")):
        flags = (f"--config={config}", "--config.seed=-1")
        done = run_python("-m", "trainer.main", *flags, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith("error: seed is -1"), done.stderr
