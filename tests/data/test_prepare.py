import dataclasses
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.damage import flip_a_bit
from tests.helpers.programs import (
    assert_refused,
    assert_teaches_and_refuses,
    run_module,
    run_python,
)
from trainer.config import Config
from trainer.config_sections import DataConfig
from trainer.data import sources, tfrecord
from trainer.data.preparation import check_source, prepare, prepared_records, verify
from trainer.errors import DiskError, UserError

PREPARE = "trainer.data.prepare"


@pytest.fixture
def spec(tmp_path: Path) -> str:
    """A source of 10 images of 6x6, image i all of value i, label i % 2."""
    images = np.repeat(np.arange(10, dtype=np.uint8), 36).reshape(10, 6, 6)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(10) % 2)
    return f"npz:{tmp_path / 'set.npz'}"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "new" / "records"


def test_every_image_arrives_with_its_label(spec: str, output: Path) -> None:
    manifest = prepare(spec, str(output), shards=3)
    shards = [f"shard-0000{i}-of-00003.tfrecord" for i in range(3)]
    assert [path.name for path in sorted(output.iterdir())] == ["manifest.json", *shards]
    assert manifest == tfrecord.read_manifest(str(output))
    assert manifest.source == spec
    assert manifest.image_shape == (6, 6, 1)
    assert json.loads((output / "manifest.json").read_text())["image_shape"] == [6, 6, 1]
    assert manifest.class_names == ("0", "1")
    records = tf.data.TFRecordDataset([str(output / shard.file) for shard in manifest.shards])
    images, labels = tfrecord.parse_batch(tf.stack(list(records)), manifest)
    values = images.numpy()[:, 0, 0, 0]
    assert (images == values[:, None, None, None]).numpy().all()
    assert sorted(values) == list(range(10))
    np.testing.assert_array_equal(labels, values % 2)


def test_again_does_nothing(spec: str, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = prepare(spec, str(output), shards=2)
    assert "is prepared: 10 images of 6x6x1, 2 shards" in capsys.readouterr().out
    written = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    Path(spec.partition(":")[2]).unlink()  # the source may be gone by now
    assert prepare(spec, str(output), shards=2) == manifest
    assert prepare(spec, str(output), shards=2, resolution=6, channels=1) == manifest
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == written
    assert "is prepared already" in capsys.readouterr().out


def test_another_worker_writes_the_same_bytes(spec: str, output: Path) -> None:
    prepare(spec, str(output), shards=2)
    written = {path: path.read_bytes() for path in output.iterdir()}
    (output / "manifest.json").unlink()
    prepare(spec, str(output), shards=2)
    assert {path: path.read_bytes() for path in output.iterdir()} == written


def test_folder_of_another_source(spec: str, output: Path) -> None:
    prepare("digits", str(output), shards=2)
    with pytest.raises(UserError, match=r"with source digits, not npz:.*give another"):
        prepare(spec, str(output), shards=2)
    with pytest.raises(UserError, match="prepared with shards 2, not 3"):
        prepare("digits", str(output), shards=3)
    with pytest.raises(UserError, match="prepared with resolution 28, not 32, channels 1, not 3"):
        prepare("digits", str(output), shards=2, resolution=32, channels=3)


def test_damaged_folder_is_not_accepted(spec: str, output: Path) -> None:
    manifest = prepare(spec, str(output), shards=2)
    (output / manifest.shards[0].file).write_bytes(b"")
    with pytest.raises(UserError, match="has 0 bytes and its manifest says"):
        prepare(spec, str(output), shards=2)


def test_a_failure_leaves_nothing(spec: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.open_source(spec)

    def broken() -> Iterator[sources.Example]:
        examples = source.examples()
        yield next(examples)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        broken_source = dataclasses.replace(source, examples=broken)
        patch.setattr(sources, "open_source", lambda *_: broken_source)
        with pytest.raises(RuntimeError, match="killed"):
            prepare(spec, str(output))
    assert list(output.iterdir()) == []
    assert prepare(spec, str(output)).num_images == 10


def test_more_shards_than_files_may_be_open(output: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 50, before[1]))
    try:
        with pytest.raises(DiskError, match=r"Too many open files.*fewer --shards") as caught:
            prepare("digits", str(output), shards=200)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert str(output) in str(caught.value)
    assert list(output.iterdir()) == []


def test_a_few_images_take_fewer_shards(
    tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "one.npz", images=np.zeros([1, 6, 6], np.uint8))
    one = f"npz:{tmp_path / 'one.npz'}"
    for _ in range(2):  # found again, too
        assert len(prepare(one, str(output)).shards) == 1
    assert "1 images of 6x6x1, 1 shards" in capsys.readouterr().out
    with pytest.raises(UserError, match="too few for 4 shards: give at most 1 shards"):
        prepare(one, str(tmp_path / "other"), shards=4)
    config = Config()
    config.data = DataConfig(source=one, records_dir=str(tmp_path / "third"), shards=3)
    config.model.resolution = 6
    assert len(prepared_records(config).shards) == 1


def test_bad_requests(spec: str, output: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 10 images, too few for 11 shards: give at most 10"):
        prepare(spec, str(output), shards=11)
    with pytest.raises(UserError, match="0 shards asked for"):
        prepare(spec, str(output), shards=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"could not be written to .*file/records .*choose"):
        prepare(spec, str(tmp_path / "file" / "records"))


def test_verify_reads_it_all(spec: str, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = prepare(spec, str(output), shards=2)
    capsys.readouterr()
    verify(str(output))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"OK {s.file}" for s in manifest.shards]
    flip_a_bit(output / manifest.shards[1].file, at=-1)
    with pytest.raises(UserError, match=r"shard-00001-of-00002\.tfrecord is damaged"):
        verify(str(output))


def test_command_line_prepares_and_verifies(spec: str, output: Path) -> None:
    flags = ("--source=npz:~/set.npz", "--output=~/caf\u00e9", "--resolution=4", "--channels=3")
    environment = {"HOME": str(output.parents[1]), "PYTHONIOENCODING": "ascii"}
    done = run_python("-m", PREPARE, *flags, **environment, TF_CPP_MIN_LOG_LEVEL="2")
    assert done.returncode == 0, done.stderr
    output = output.parents[1] / "caf\u00e9"
    size = sum(path.stat().st_size for path in output.glob("shard-*"))
    summary = f"{output} is prepared: 10 images of 4x4x3, 4 shards, {size} bytes.\n"
    assert done.stdout == summary.replace("\u00e9", "\\xe9")
    assert done.stderr == ""  # not a word of CUDA
    (output / "shard-00002-of-00004.tfrecord").unlink()
    damaged = run_module(PREPARE, f"--verify={output}")
    assert "error: " in damaged.stderr
    assert_refused(damaged, "shard-00002-of-00004.tfrecord is missing: delete")


def test_the_command_line_teaches_and_refuses_bad_usage() -> None:
    bad = {
        "--sorce=digits": "error: Unknown command line flag 'sorce'",
        "--source=digits": "error: give --source and --output, or --verify",
        "--source=digits --output=s3://b/x": "error: flag --output=s3://b/x: s3:// is not known",
        "--verify=~nosuchuser/x": "~nosuchuser is nobody's home folder here",
    }
    assert_teaches_and_refuses(
        PREPARE, "python -m trainer.data.prepare --source=digits --output=data/digits", bad
    )


def test_records_must_fit_the_model(spec: str, output: Path) -> None:
    config = Config()
    config.data = DataConfig(source=spec, records_dir=str(output), shards=1)
    config.model.resolution = 6
    assert prepared_records(config, num_classes=2).num_images == 10
    with pytest.raises(UserError, match=r"images of 2 classes .* conditional on 3: set --config"):
        prepared_records(config, num_classes=3)
    config.model.resolution = 8
    with pytest.raises(UserError, match="holds images of 6x6x1 and the model makes 8x8x1"):
        prepared_records(config)


def test_a_source_that_was_asked_for_must_be_that_of_the_records(
    spec: str, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_source(str(output), "digits")  # nothing is prepared yet
    prepare(spec, str(output), shards=1)
    check_source(str(output), None)
    monkeypatch.setenv("HOME", str(output.parents[1]))
    monkeypatch.chdir(output.parents[1])
    for same in (spec, "npz:set.npz", "npz:~/new/../set.npz"):
        check_source(str(output), same)
        assert prepare(same, str(output), shards=1).source == spec
    for other in ("digits", "npz:other.npz", f"images:{spec[4:]}", f"tfds:{spec[4:]}"):
        with pytest.raises(UserError) as caught:
            check_source(str(output), other)
        assert f"source={other}, but {output} was prepared from {spec}: give" in str(caught.value)
