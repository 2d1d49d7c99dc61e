import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import assert_same_state, build_gan_on, make_strategy_of, run_steps
from tests.helpers.damage import cut_short, flip_a_bit, flip_everywhere
from tests.helpers.tiny import tiny_config
from trainer.errors import DiskError, DivergedError, UserError
from trainer.gan.state import Gan
from trainer.run.checkpoints import Checkpoints, find_checkpoint, load_generator
from trainer.run.run_dir import check_run_dir, claim_run_dir, latest_checkpoint, read_config


def trained_gan(steps: int) -> Gan:
    gan = build_gan_on(tiny_config(), make_strategy_of(1))
    run_steps(gan, tiny_config(), steps)
    return gan


@pytest.fixture(scope="module")
def gan() -> Gan:
    return trained_gan(3)


def test_a_checkpoint_is_named_not_pointed_at(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a path: give a name"):
        find_checkpoint(str(tmp_path), "../other/checkpoints/step-1")


def test_a_run_that_trains_on_is_drawn_from_what_is_there(
    gan: Gan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_run_dir(str(tmp_path), tiny_config(), {"xla": False})
    for step in (1, 2):
        Checkpoints(gan, str(tmp_path)).save(step)
    found = iter([str(tmp_path / "checkpoints/step-1"), str(tmp_path / "checkpoints/step-2")])
    monkeypatch.setattr("trainer.run.checkpoints.find_checkpoint", lambda *_: next(found))
    generator = load_generator(str(tmp_path))
    for restored, variable in zip(generator.variables, gan.generator.variables, strict=True):
        np.testing.assert_array_equal(restored, variable)


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
        (tmp_path / f"checkpoints/step-{step}.notes.txt").touch()  # the user's own
    names = {path.name for path in (tmp_path / "checkpoints").glob("*.index")}
    assert names == {"step-2.index", "step-3.index"}
    assert len(list(tmp_path.glob("checkpoints/*.notes.txt"))) == 3


@pytest.mark.parametrize(
    "why, told",
    [
        ("{{node a}} {path}; No space left on device [Op:MergeV2Checkpoints]", "has no room"),
        # As it reads its own temporary index, which is shorter than it should be.
        (
            "{{node a}} Read less bytes than requested [Op:MergeV2Checkpoints]",
            r"/checkpoints cannot be written and read back \(Read less bytes than requested\): its",
        ),
    ],
)
def test_a_save_that_fails_takes_no_earlier_checkpoint_with_it(
    why: str, told: str, gan: Gan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(gan, str(tmp_path))
    checkpoints.save(3)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("checkpoints/*")}

    def fail(path: str) -> None:
        Path(f"{path}_temp").mkdir()
        Path(f"{path}.data-00001-of-00002").touch()
        raise tf.errors.OutOfRangeError(None, None, why.replace("{path}", path))

    monkeypatch.setattr(checkpoints.checkpoint, "write", fail)
    with pytest.raises(DiskError, match=told):
        checkpoints.save(3)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("checkpoints/*")} == before


DAMAGES = {
    "data flipped": ("step-2.data-00000-of-00001", flip_everywhere, "is damaged"),
    "data cut": ("step-2.data-00000-of-00001", cut_short, "is damaged"),
    "data missing": ("step-2.data-00000-of-00001", Path.unlink, "is missing"),
    "index flipped": ("step-2.index", flip_a_bit, "is damaged"),
    "index cut": ("step-2.index", cut_short, "is damaged"),
    "index missing": ("step-2.index", Path.unlink, "is missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_set_aside(
    gan: Gan, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    claim_run_dir(str(tmp_path), tiny_config(), {"xla": False})
    folder, (file, harm, words) = tmp_path / "checkpoints", DAMAGES[name]
    checkpoints = Checkpoints(gan, str(tmp_path), keep=2)
    checkpoints.save(1)
    checkpoints.save(2)
    harm(folder / file)
    damaged = {path.name: path.read_bytes() for path in folder.glob("step-2.*")}
    with pytest.raises(UserError, match=f"{file} {words}.*; give --checkpoint=step-1 instead"):
        load_generator(str(tmp_path))
    assert {path.name: path.read_bytes() for path in folder.glob("step-2.*")} == damaged

    fresh = build_gan_on(tiny_config(), make_strategy_of(1))
    worker = Checkpoints(fresh, str(tmp_path), chief=False)
    assert worker.restore() == 3 and not caplog.text  # the counter that was saved
    again = Checkpoints(fresh, str(tmp_path), keep=2)
    assert again.restore() == 3
    assert f"{file} {words}" in caplog.text and "training goes on from step-1" in caplog.text
    aside = {path.name.removeprefix("damaged-"): path for path in folder.glob("damaged-*")}
    assert {name: path.read_bytes() for name, path in aside.items()} == damaged
    assert find_checkpoint(str(tmp_path)).endswith("step-1")
    with pytest.raises(UserError, match=r"no such checkpoint, but step-1\."):
        find_checkpoint(str(tmp_path), "step-9")
    again.save(2)  # again that step, and again damaged
    harm(folder / file)
    assert again.restore() == 3
    again.save(4)
    assert {path.name.split(".")[0] for path in folder.iterdir()} == {
        *("checkpoint", "step-1", "step-4", "damaged-step-2", "damaged-step-2-again")
    }


def test_where_all_are_damaged_all_stay(gan: Gan, tmp_path: Path) -> None:
    Checkpoints(gan, str(tmp_path)).save(1)
    flip_a_bit(tmp_path / "checkpoints/step-1.index")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"none of the checkpoints.*step-1\.index is damaged"):
        Checkpoints(gan, str(tmp_path)).restore()
    assert sorted(tmp_path.rglob("*")) == before


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


def test_a_checkpoint_of_another_model_is_told_and_stays(gan: Gan, tmp_path: Path) -> None:
    other = tiny_config()
    other.model.latent_dim += 1
    claim_run_dir(str(tmp_path), other, {})
    Checkpoints(gan, str(tmp_path)).save(3)
    before = sorted(tmp_path.rglob("*"))
    fresh = build_gan_on(other, make_strategy_of(1))
    for read in (Checkpoints(fresh, str(tmp_path)).restore, lambda: load_generator(str(tmp_path))):
        with pytest.raises(UserError, match=r"checkpoints/step-3 is of another model \("):
            read()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_checkpoint_of_other_variables_is_told_and_stays(gan: Gan, tmp_path: Path) -> None:
    """Of another program, or of another architecture, as one that was copied here."""
    claim_run_dir(str(tmp_path), tiny_config(), {})
    Checkpoints(gan, str(tmp_path)).save(3)
    other = tf.train.Checkpoint(weights=tf.Variable([2.0, 3.0]))
    other.write(str(tmp_path / "checkpoints/step-4"))
    before = sorted(tmp_path.rglob("*"))
    for read in (Checkpoints(gan, str(tmp_path)).restore, lambda: load_generator(str(tmp_path))):
        with pytest.raises(UserError, match=r"step-4 is of another model \(its variables have o"):
            read()
    assert sorted(tmp_path.rglob("*")) == before


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


@pytest.mark.parametrize("content", [b"", b"\0\xff not a list", None])
def test_a_list_that_cannot_be_read_is_made_anew(
    gan: Gan, tmp_path: Path, content: bytes | None
) -> None:
    checkpoints = Checkpoints(gan, str(tmp_path), keep=2)
    checkpoints.save(9)
    checkpoints.save(10)
    (tmp_path / "checkpoints/step-11.data-00000-of-00001").touch()  # a kill came in between
    list_file = tmp_path / "checkpoints/checkpoint"
    list_file.unlink() if content is None else list_file.write_bytes(content)
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoints/step-10")
    assert Checkpoints(gan, str(tmp_path)).restore() == 3


def test_a_newer_checkpoint_that_the_list_lacks_is_taken(
    gan: Gan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claim_run_dir(str(tmp_path), tiny_config(), {})
    folder, checkpoints = tmp_path / "checkpoints", Checkpoints(gan, str(tmp_path), keep=3)
    for step in (8, 9):
        checkpoints.save(step)
    earlier = (folder / "checkpoint").read_bytes()
    checkpoints.save(10)
    (folder / "checkpoint").write_bytes(earlier)
    (folder / "step-11.index").touch()
    assert latest_checkpoint(str(tmp_path)) == str(folder / "step-10")
    check_run_dir(str(tmp_path), tiny_config())
    assert not caplog.text
    assert checkpoints.restore() == 3
    assert caplog.text.count("lacks step-10: taken") == 1
    checkpoints.save(12)
    assert sorted(path.stem for path in folder.glob("step-*.data-*")) == [
        *("step-10", "step-12", "step-9")
    ]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_checkpoint_on_a_disk_that_refuses_is_not_set_aside(
    gan: Gan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: str) -> None:
        raise tf.errors.UnknownError(None, None, f"{path}.index; {os.strerror(number)}")

    checkpoints = Checkpoints(gan, str(tmp_path))
    checkpoints.save(1)
    monkeypatch.setattr(checkpoints.checkpoint, "restore", refuse)
    with pytest.raises(tf.errors.UnknownError):
        checkpoints.restore()
    assert not list(tmp_path.glob("checkpoints/damaged*"))


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
