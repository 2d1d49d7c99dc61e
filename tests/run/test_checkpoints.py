from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import assert_same_state, build_gan_on, make_strategy_of, run_steps
from tests.helpers.tiny import tiny_config
from trainer.errors import DivergedError, UserError
from trainer.gan.state import Gan
from trainer.run.checkpoints import Checkpoints, load_generator
from trainer.run.run_dir import check_run_dir, claim_run_dir, latest_checkpoint, read_config


def trained_gan(steps: int) -> Gan:
    gan = build_gan_on(tiny_config(), make_strategy_of(1))
    run_steps(gan, tiny_config(), steps, jit_compile=False)
    return gan


@pytest.fixture(scope="module")
def gan() -> Gan:
    return trained_gan(3)


def test_everything_comes_back_bit_for_bit(gan: Gan, tmp_path: Path) -> None:
    claim_run_dir(str(tmp_path), tiny_config(), {})
    Checkpoints(gan, str(tmp_path)).save(3)
    fresh = build_gan_on(tiny_config(), make_strategy_of(1))
    assert Checkpoints(fresh, str(tmp_path)).restore() == 3
    assert_same_state(gan, fresh)
    generator = load_generator(str(tmp_path))
    for restored, variable in zip(generator.variables, gan.generator.variables, strict=True):
        np.testing.assert_array_equal(restored.numpy(), variable.numpy())
    assert read_config(str(tmp_path)) == tiny_config()


def test_the_last_few_are_kept(gan: Gan, tmp_path: Path) -> None:
    checkpoints = Checkpoints(gan, str(tmp_path), keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step)
    names = {path.name for path in (tmp_path / "checkpoints").glob("*.index")}
    assert names == {"step-2.index", "step-3.index"}


def test_a_damaged_checkpoint_gives_way_to_the_one_before(gan: Gan, tmp_path: Path) -> None:
    checkpoints = Checkpoints(gan, str(tmp_path), keep=2)
    checkpoints.save(1)
    checkpoints.save(2)
    for path in (tmp_path / "checkpoints").glob("step-2.data*"):
        path.write_bytes(path.read_bytes()[:1000])
    fresh = build_gan_on(tiny_config(), make_strategy_of(1))
    assert Checkpoints(fresh, str(tmp_path), keep=2).restore() == 3  # the counter that was saved
    for path in (tmp_path / "checkpoints").glob("step-1.data*"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="none of the checkpoints"):
        Checkpoints(fresh, str(tmp_path), keep=2).restore()


def test_another_model_is_refused_with_every_difference(gan: Gan, tmp_path: Path) -> None:
    claim_run_dir(str(tmp_path), tiny_config(), {})
    Checkpoints(gan, str(tmp_path)).save(3)
    other = tiny_config()
    other.model.latent_dim, other.seed, other.train.epochs = 9, 4, 7
    with pytest.raises(UserError) as caught:
        check_run_dir(str(tmp_path), other)
    assert "model.latent_dim: the run has 8, you ask for 9" in str(caught.value)
    assert "seed: the run has 0, you ask for 4" in str(caught.value)
    assert "epochs" not in str(caught.value)
    assert read_config(str(tmp_path)) == tiny_config()


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    gan = trained_gan(0)
    checkpoints = Checkpoints(gan, str(tmp_path))
    checkpoints.save(1)
    gan.discriminator.head.bias.assign([np.nan])
    with pytest.raises(DivergedError, match=r"bias is not finite at step 2.*step-1"):
        checkpoints.check_finite(2)
    assert latest_checkpoint(str(tmp_path)).endswith("step-1")


def test_run_directories_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        claim_run_dir(str(tmp_path / "file" / "run"), tiny_config(), {})
    with pytest.raises(UserError, match="holds no run"):
        load_generator(str(tmp_path / "nothing"))
    claim_run_dir(str(tmp_path / "new"), tiny_config(), {})
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load_generator(str(tmp_path / "new"))


def test_a_list_that_cannot_be_read_is_no_empty_one(gan: Gan, tmp_path: Path) -> None:
    Checkpoints(gan, str(tmp_path)).save(1)
    (tmp_path / "checkpoints/checkpoint").write_text("\0 not a list")
    with pytest.raises(UserError, match="the list of this run's checkpoints, cannot be read"):
        Checkpoints(gan, str(tmp_path)).restore()


@pytest.mark.parametrize("text", ["HTTP response code 403", "All 10 retry attempts failed"])
def test_a_checkpoint_that_storage_refuses_is_not_passed_over(
    gan: Gan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def refuse(path: str) -> None:
        raise tf.errors.AbortedError(None, None, f"{text}\n\t when reading gs://bucket/step-1")

    checkpoints = Checkpoints(gan, str(tmp_path))
    checkpoints.save(1)
    monkeypatch.setattr(checkpoints.checkpoint, "restore", refuse)
    with pytest.raises(tf.errors.AbortedError):
        checkpoints.restore()
