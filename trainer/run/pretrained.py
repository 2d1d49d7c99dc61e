"""Trained generators that come with the package: `--run_dir=pretrained:NAME`.

Each is a folder with the config, the data record and the evaluation of the run that it is from, and
its weights as float16, half the size of a checkpoint's: each moves by a 2048th part at most.
trainer/pack.py makes such folders.
"""

import difflib
import json
import os
import shutil
from pathlib import Path

import numpy as np

from trainer.cli.paths import PRETRAINED
from trainer.errors import UserError
from trainer.gan.networks import Generator
from trainer.run.run_dir import CONFIG, DATA, EVALUATION
from trainer.storage.files import replacing, write_text

WEIGHTS = "weights.npz"

FOLDER = Path(__file__).parents[1] / "pretrained"


def folder_of(run_dir: str) -> str | None:
    """The folder that `pretrained:NAME` names; None for any other run directory.

    Raises:
        UserError: no trained generator of that name comes with the package.
    """
    if not run_dir.startswith(PRETRAINED):
        return None
    name = run_dir.removeprefix(PRETRAINED)
    names = sorted(path.parent.name for path in FOLDER.glob(f"*/{WEIGHTS}"))
    if name in names:
        return str(FOLDER / name)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {PRETRAINED}{near[0]}?" if near else f"there are {', '.join(names)}."
    raise UserError(
        f"--run_dir={run_dir}: no trained generator of this name comes along: "
        f"{hint if names else 'there are none.'}"
    )


def has_weights(run_dir: str) -> bool:
    """Whether a folder is that of a pretrained generator, not of a run."""
    return os.path.exists(os.path.join(run_dir, WEIGHTS))


def load_weights(generator: Generator, folder: str) -> None:
    """Sets a generator's variables to the weights of a folder."""
    with np.load(os.path.join(folder, WEIGHTS)) as arrays:
        for index, variable in enumerate(generator.variables):
            variable.assign(arrays[str(index)].astype(np.float32))


def pack(generator: Generator, run_dir: str, folder: str) -> None:
    """Writes a generator of a run, and what says what it is, to a folder.

    Raises:
        UserError: the run has not been evaluated, or a weight is too large for float16.
    """
    with np.errstate(over="ignore"):
        arrays = {
            str(index): variable.numpy().astype(np.float16)
            for index, variable in enumerate(generator.variables)
        }
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UserError(f"{run_dir}: a weight is beyond 65,504, the largest number of float16.")
    if not os.path.exists(os.path.join(run_dir, EVALUATION)):
        raise UserError(
            f"{run_dir} has no {EVALUATION}, which says how good its images are: run "
            "--mode=evaluate first."
        )
    os.makedirs(folder, exist_ok=True)
    for name in (CONFIG, DATA):
        shutil.copyfile(os.path.join(run_dir, name), os.path.join(folder, name))
    evaluations = [
        # The path of the checkpoint is of the machine that it lay on.
        each | {"source": os.path.basename(each["source"])}
        for each in json.loads(Path(run_dir, EVALUATION).read_text())
    ]
    write_text(os.path.join(folder, EVALUATION), json.dumps(evaluations, indent=2) + "\n")
    with replacing(os.path.join(folder, WEIGHTS)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
