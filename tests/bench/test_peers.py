"""Each peer trains our task: the checks that the bench `step` makes, on a tiny network."""

import dataclasses
import functools
import importlib

import numpy as np
import pytest

from bench.peers.ours import Ours
from bench.peers.peer import Facts, Peer, disagreements
from bench.task import Task
from tests.conftest import make_strategy_of, real_batch
from tests.helpers.tiny import tiny_config
from trainer.config import Config

PEERS = {
    "torch": ("bench.peers.torch_peer:TorchPeer", {}),
    "torch, channels last": ("bench.peers.torch_peer:TorchPeer", {"channels_last": True}),
    "jax": ("bench.peers.jax_peer:JaxPeer", {}),
    "fit": ("bench.peers.keras_peers:KerasFitPeer", {}),
    "tf.function": ("bench.peers.keras_peers:TfFunctionPeer", {}),
    "train_on_batch": ("bench.peers.keras_peers:TrainOnBatchPeer", {}),
}
NEEDS = {"TorchPeer": ("torch",), "JaxPeer": ("jax", "flax", "optax")}


def config() -> Config:
    found = tiny_config()
    found.train.group_size = 0
    return found


def facts_of(peer: Peer) -> Facts:
    weights, (latents, images) = our_weights(), some_inputs()
    return peer.facts(*weights, latents, images)


@functools.cache
def ours() -> Ours:
    return Ours(Task.of(config()), real_batch(0), config(), make_strategy_of(1))


@functools.cache
def our_weights() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return ours().weights()


@functools.cache
def our_facts() -> Facts:
    our_weights()
    return facts_of(ours())


def some_inputs() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)
    return random.standard_normal((8, 8), np.float32), images


@pytest.mark.parametrize("name", PEERS)
def test_peer_trains_our_task(name: str) -> None:
    factory, options = PEERS[name]
    module, _, kind = factory.partition(":")
    for needed in NEEDS.get(kind, ()):
        pytest.importorskip(needed, reason="bench/requirements.txt is not installed")
    peer = getattr(importlib.import_module(module), kind)(
        Task.of(config()), real_batch(0), **options
    )
    assert disagreements(facts_of(peer), our_facts(), 1e-3) == []
    assert peer.run(2) > 0


@pytest.mark.parametrize(
    "change, word",
    [
        ({"weights": (1, 2)}, "trainable weights"),
        ({"images": np.zeros((8, 8, 8, 1))}, "images differ"),
        ({"images": np.zeros((8, 4, 4, 1))}, "images are"),
        ({"logits": np.ones(8)}, "logits differ"),
        ({"first_update": (0.0, 1.0)}, "G's first update"),
        ({"losses": (0.7, 9.0)}, "D's first losses"),
    ],
)
def test_what_differs_is_seen(change: dict[str, object], word: str) -> None:
    other = dataclasses.replace(our_facts(), **change)  # type: ignore[arg-type]
    assert word in "; ".join(disagreements(other, our_facts(), 1e-3))
