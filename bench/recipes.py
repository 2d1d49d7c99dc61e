"""recipes: our step with penalties, and of small batches, against the same written plainly.

configs/mnist.py with R1 and configs/mnist_wgan_gp.py on all cores beside PyTorch; and
configs/mnist_best.py, of small batches, on one core, as in one of several experiments side by side,
beside a tf.function of Keras. All must agree first, as in the bench `step`. Learning rates do not
fall here.
"""

import os

from bench.agreement import compare
from bench.report import BenchResult
from bench.step import KERAS, TORCH, ours, resident_batch
from bench.task import Task
from bench.timed_processes import Candidate
from configs import mnist, mnist_best, mnist_wgan_gp
from trainer.config import Config, LossConfig


def r1() -> Config:
    """mnist.py with R1 every fourth step, Adam and the moving average."""
    config = mnist.get_config()
    config.model.dropout_rate = 0.0
    config.loss = LossConfig(
        objective="non_saturating", penalty="r1", penalty_weight=0.02, penalty_every_steps=4
    )
    for optimizer in (config.optimizer.generator, config.optimizer.discriminator):
        optimizer.name = "adam"
    config.train.ema_half_life_images = 20_000
    return config


def run(quick: bool) -> BenchResult:
    """Rounds of turns of two seconds."""
    rounds, turn_seconds = (1, 0.3) if quick else (5, 2.0)
    parts = {}
    for name, config in (
        ("mnist with R1", r1()),
        ("mnist_wgan_gp", mnist_wgan_gp.get_config()),
    ):
        candidates = [ours(config), *_in_torch(Task.of(config))]
        parts[name] = compare(candidates, Task.of(config), rounds, turn_seconds)
    config = mnist_best.get_config()
    task, about = Task.of(config), "mnist_best, one core"
    if hasattr(os, "sched_setaffinity"):
        keras = Candidate(
            "Keras in a tf.function",
            f"{KERAS}:TfFunctionPeer",
            {"task": task, "images": resident_batch(task.batch_size)},
            one_core=True,
        )
        parts[about] = compare([ours(config, one_core=True), keras], task, rounds, turn_seconds)
    else:
        parts[about] = BenchResult([], {}, ["needs Linux, to keep a process on one core"])
    return BenchResult.joined(parts)


def _in_torch(task: Task) -> list[Candidate]:
    common = {"task": task, "images": resident_batch(task.batch_size)}
    return [
        Candidate("PyTorch, eager", TORCH, common),
        Candidate("PyTorch, eager, channels last", TORCH, common | {"channels_last": True}),
    ]
