import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import build_gan_on, make_strategy_of
from tests.helpers.tiny import tiny_config
from trainer.errors import UserError
from trainer.run import pretrained
from trainer.run.checkpoints import Checkpoints, load_generator
from trainer.run.run_dir import claim_run_dir
from trainer.sampling.sampler import Sampler


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An evaluated run whose last checkpoint is that of its initial weights."""
    run_dir = tmp_path / "run"
    claim_run_dir(str(run_dir), tiny_config(), {"xla": False})
    Checkpoints(build_gan_on(tiny_config(), make_strategy_of(1)), str(run_dir)).save(1)
    (run_dir / "data.json").write_text("{}")
    (run_dir / "evaluation.json").write_text('[{"source": "/home/me/runs/a/step-1", "samples": 9}]')
    return run_dir


@pytest.fixture
def folder(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run, packed as `pretrained:digits`, in a package that has nothing else."""
    monkeypatch.setattr(pretrained, "FOLDER", run_dir.parent / "package")
    folder = run_dir.parent / "package/digits"
    pretrained.pack(load_generator(str(run_dir)), str(run_dir), str(folder))
    return folder


def test_a_packed_generator_draws_as_its_run_up_to_rounding(run_dir: Path, folder: Path) -> None:
    found = pretrained.folder_of("pretrained:digits")
    assert found == str(folder) and pretrained.folder_of(str(run_dir)) is None
    shutil.rmtree(run_dir)
    packed = load_generator(found)
    original = build_gan_on(tiny_config(), make_strategy_of(1)).generator
    for one, other in zip(packed.variables, original.variables, strict=True):
        np.testing.assert_array_equal(one, other.numpy().astype(np.float16).astype(np.float32))
    noted = json.loads((folder / "evaluation.json").read_text())
    assert noted == [{"source": "step-1", "samples": 9}]
    images = [np.concatenate(list(Sampler(each).images(0, 64))) for each in (packed, original)]
    assert np.abs(images[0].astype(int) - images[1].astype(int)).max() <= 1


def test_unknown_names_get_those_that_there_are(folder: Path) -> None:
    with pytest.raises(UserError, match="did you mean pretrained:digits"):
        pretrained.folder_of("pretrained:digit")
    with pytest.raises(UserError, match="there are digits"):
        pretrained.folder_of("pretrained:")


def test_what_cannot_be_packed_is_refused(run_dir: Path) -> None:
    folder = run_dir.parent / "package/digits"
    generator = load_generator(str(run_dir))
    (run_dir / "evaluation.json").unlink()
    with pytest.raises(UserError, match="run --mode=evaluate first"):
        pretrained.pack(generator, str(run_dir), str(folder))
    generator.variables[0].assign(np.full(generator.variables[0].shape, 1e5))
    with pytest.raises(UserError, match="a weight is beyond 65,504"):
        pretrained.pack(generator, str(run_dir), str(folder))
    assert not folder.exists()


def test_nothing_is_trained_into_the_package() -> None:
    command = [sys.executable, "-m", "trainer.main", "--run_dir=pretrained:mnist_best"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "is for --mode=sample" in done.stderr
