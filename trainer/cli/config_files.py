"""Finds and runs the Python file that `--config` names."""

import difflib
import os
import sys
import traceback
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path

from trainer.cli.paths import user_path
from trainer.config import Config
from trainer.config_fields import own_sections
from trainer.errors import UserError
from trainer.storage.bucket import is_gs

DEFAULT = "digits"
"""The config of a command that needs one and names none."""

# In a clone and where pip has put it: beside the package.
_OURS = Path(__file__).parents[2] / "configs"


def load_config(name: str) -> Config:
    """Runs a config file.

    Args:
        name: `mnist`, for the file of this name in configs/, or the path of a file. The files of
            configs/ are found from any folder.

    Raises:
        UserError: there is no such file; it fails, and where; it returns something else.
    """
    path = _find(name)
    try:
        config = _run(path)
    except UserError as error:
        place = _place(error, path)
        raise UserError(str(error) if place == str(path) else f"in {place}: {error}") from error
    except (Exception, SystemExit, GeneratorExit) as error:
        place, kind = _place(error, path), type(error).__name__
        raise UserError(f"it fails in {place}: {kind}: {_message(error)}") from error
    if not isinstance(config, Config):
        raise UserError(
            f"its get_config() returns a {type(config).__name__}, not a trainer.config.Config: is "
            "it a config of another program? configs/mnist.py shows one of this."
        )
    return own_sections(config)


def names() -> list[str]:
    """The configs that come with the trainer."""
    return sorted(path.stem for path in _OURS.glob("*.py"))


def _find(name: str) -> Path:
    if is_gs(name):
        raise UserError(
            "a config is a Python file on a local disk; copy it here first, with "
            "`gcloud storage cp`."
        )
    given = Path(user_path(name))
    if name in names():
        return _OURS / f"{name}.py"
    if given.is_file():
        return given
    ours = given.parent in (Path("."), Path("configs")) and given.suffix in ("", ".py")
    if ours and given.stem in names():
        return _OURS / f"{given.stem}.py"
    near = _nearest(given)
    mend = f"did you mean {near}?" if near else f"give a file, or one of {', '.join(names())}."
    raise UserError(f"there is no such config: {mend}")


def _nearest(given: Path) -> str | None:
    """The config, by name or by path as the given one is, that it may have meant."""
    is_path = given.suffix or len(given.parts) > 1
    there = {name: f"configs/{name}.py" if is_path else name for name in names()}
    for path in (*Path("configs").glob("*.py"), *given.parent.glob("*.py")):
        there.setdefault(path.stem, str(path))
    near = difflib.get_close_matches(given.stem, there, n=1)
    return there[near[0]] if near else None


def _run(path: Path) -> object:
    """What `get_config()` of a file returns."""
    if os.getcwd() not in sys.path:
        # As python -m does: what a config imports may lie in this folder.
        sys.path.append(os.getcwd())
    # As python FILE does, but last: a config may also import what lies beside it.
    sys.path.append(str(path.parent.resolve()))
    if (path.parent / "__init__.py").exists():
        sys.path.insert(0, str(path.parent.resolve().parent))
    else:
        # `from configs import mnist` finds the file's neighbours and ours, from any folder and
        # whatever other package of this name there is.
        package = types.ModuleType("configs")
        package.__path__ = [str(path.parent.resolve()), str(_OURS)]
        sys.modules["configs"] = package
    module = types.ModuleType("config_of_this_run")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for their own module
    SourceFileLoader(module.__name__, str(path)).exec_module(module)
    if not hasattr(module, "get_config"):
        raise UserError(
            "it has no get_config() that returns a trainer.config.Config: configs/mnist.py shows "
            "how."
        )
    return module.get_config()


def _place(error: BaseException, path: Path) -> str:
    """File and line of the config where an error comes from."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{error.filename}, line {error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f"{path}, line {frames[-1].lineno}" if frames else str(path)


def _message(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return text.splitlines()[0] if text else "no message"
