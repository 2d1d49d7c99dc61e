import json
import time

import pytest

from tests.conftest import make_strategy_of
from tests.helpers.programs import run_python
from tests.helpers.tiny import tiny_config
from trainer import strategy
from trainer.errors import UserError
from trainer.strategy import check_shares, is_chief, make_strategy


def test_one_process_is_its_own_chief() -> None:
    for replicas in (1, 2):
        assert is_chief(make_strategy_of(replicas))


@pytest.mark.parametrize(
    "batch, group, replicas, words",
    [
        (8, 2, 3, "train.global_batch_size is 8, which 3 replicas cannot share evenly; 6 or 9"),
        (8, 8, 2, "2 replicas cannot share 1 .* --config.train.group_size=4 would do"),
        (12, 4, 2, "2 replicas cannot share 3 .* --config.train.group_size=3 would do"),
    ],
)
def test_shares_that_are_not_even(batch: int, group: int, replicas: int, words: str) -> None:
    config = tiny_config()
    config.train.global_batch_size, config.train.group_size = batch, group
    with pytest.raises(UserError, match=words):
        check_shares(config, make_strategy_of(replicas))
    config.train.global_batch_size, config.train.group_size = 12, 3  # as the last is told to
    check_shares(config, make_strategy_of(2))


def test_multiworker_without_tf_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="TF_CONFIG, which is not set"):
        make_strategy("multiworker")
    monkeypatch.setenv("TF_CONFIG", '{"environment": "cloud"}')
    assert strategy._workers_of_tf_config() == []


CLUSTER = {"chief": ["a:1"], "worker": ["b:1"]}


@pytest.mark.parametrize(
    "text",
    [
        '{"cluster": ',
        "[]",
        json.dumps({"cluster": CLUSTER}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": "zero"}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "boss", "index": 0}}),
        json.dumps({"cluster": {"worker": "localhost:1"}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:1", 5]}, "task": {"type": "worker", "index": 0}}),
    ],
)
def test_a_tf_config_that_will_not_do(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="does not describe a cluster"):
        make_strategy("auto")


@pytest.mark.parametrize("tpu_name", ["local", "grpc://127.0.0.1:9"])
def test_no_tpu_is_one_sentence_within_30_seconds(tpu_name: str) -> None:
    started = time.monotonic()
    flags = ("--config=configs/digits.py", "--strategy=tpu")
    done = run_python("-m", "trainer.main", *flags, TPU_NAME=tpu_name)
    message = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert message.startswith(f"error: --strategy=tpu found no TPU at TPU_NAME={tpu_name}")
    assert "tensorflow-tpu" in message
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "kinds, found", [(["chief", "worker"], ["a:1", "b:1"]), (["chief"], ["a:1"])]
)
def test_workers_of_tf_config_are_counted(
    kinds: list[str], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = {kind: CLUSTER[kind] for kind in kinds}
    task = {"type": "chief", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert strategy._workers_of_tf_config() == found
