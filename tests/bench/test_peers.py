"""Each peer trains our task: the checks that the benches `step` and `recipes` make, but tiny."""

import copy
import dataclasses
import functools
import importlib

import numpy as np
import pytest

from bench.peers.ours import Ours
from bench.peers.peer import Facts, Peer, disagreements
from bench.recipes import r1
from bench.step import BFLOAT16_TOLERANCE
from bench.task import Task
from configs import mnist_best, mnist_wgan_gp
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


RECIPES = {
    "r1": r1,
    "mnist_wgan_gp": mnist_wgan_gp.get_config,
    "mnist_best": mnist_best.get_config,
}


def config() -> Config:
    found = tiny_config()
    found.train.group_size = 0
    return found


def tiny_recipe(name: str) -> Config:
    """The recipe on the tiny network, and a penalty that is felt in the losses."""
    found, tiny = RECIPES[name](), config()
    tiny.model.generator_dense_units = min(found.model.generator_dense_units, 8)
    tiny.model.discriminator_stem_filters = min(found.model.discriminator_stem_filters, 8)
    tiny.model.discriminator_dense_units = min(found.model.discriminator_dense_units, 8)
    tiny.model.dropout_rate = found.model.dropout_rate
    tiny.loss, tiny.optimizer = copy.deepcopy(found.loss), found.optimizer
    tiny.loss.penalty_weight = 50.0 if tiny.loss.penalty == "r1" else 10.0
    tiny.train.discriminator_steps = min(found.train.discriminator_steps, 2)
    tiny.train.ema_half_life_images = found.train.ema_half_life_images
    return tiny


def facts_of(peer: Peer) -> Facts:
    weights, (latents, images) = our_weights(), some_inputs()
    return peer.facts(*weights, latents, images)


@functools.cache
def ours() -> Ours:
    return Ours(config(), real_batch(0), make_strategy_of(1))


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
    peer = made(name, config())
    assert disagreements(facts_of(peer), our_facts(), 1e-3) == []
    assert peer.run(2) > 0


@pytest.mark.parametrize(
    "name, recipe",
    [("torch", "r1"), ("torch", "mnist_wgan_gp"), ("tf.function", "mnist_best")],
)
def test_peer_trains_a_recipe(name: str, recipe: str) -> None:
    found, wanted = facts_under(tiny_recipe(recipe), name)
    assert wanted.penalty > 0.1
    assert disagreements(found, wanted, 1e-3) == []
    assert disagreements(dataclasses.replace(found, penalty=0.0), wanted, 1e-3)


@pytest.mark.parametrize("name", ["torch", "tf.function"])
def test_peer_trains_in_bfloat16(name: str) -> None:
    given = config()
    given.model.precision = "bfloat16"
    found, wanted = facts_under(given, name)
    assert disagreements(found, wanted, BFLOAT16_TOLERANCE) == []
    rounding = np.abs(found.images - our_facts().images).max()
    assert rounding > 1e-4  # float32 would be closer


def facts_under(given: Config, name: str) -> tuple[Facts, Facts]:
    """Of a peer and of ours, from the same weights."""
    own = Ours(given, real_batch(0), make_strategy_of(1))
    weights, inputs = own.weights(), some_inputs()
    return made(name, given).facts(*weights, *inputs), own.facts(*weights, *inputs)


def made(name: str, given: Config) -> Peer:
    factory, options = PEERS[name]
    module, _, kind = factory.partition(":")
    for needed in NEEDS.get(kind, ()):
        pytest.importorskip(needed, reason="bench/requirements.txt is not installed")
    return getattr(importlib.import_module(module), kind)(Task.of(given), real_batch(0), **options)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"weights": (1, 2)}, "trainable weights"),
        ({"images": np.zeros((8, 8, 8, 1))}, "images differ"),
        ({"images": np.zeros((8, 4, 4, 1))}, "images are"),
        ({"logits": np.ones(8)}, "logits differ"),
        ({"first_update": (0.0, 1.0)}, "G's first update"),
        ({"losses": (0.7, 9.0)}, "D's first losses"),
        ({"penalty": 1.0}, "penalty is 1"),
    ],
)
def test_what_differs_is_seen(change: dict[str, object], word: str) -> None:
    other = dataclasses.replace(our_facts(), **change)  # type: ignore[arg-type]
    assert word in "; ".join(disagreements(other, our_facts(), 1e-3))
