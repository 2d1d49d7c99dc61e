"""The same numbers on any number of replicas and processes, and after changing it midway."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import build_gan_on, make_strategy_of, run_steps
from tests.helpers.command import Command, assert_same_bits, command_on_20_images, wait_for, weights
from tests.helpers.tiny import tiny_config

STEPS = 30
RMSPROP = [f"--config.train.steps={STEPS}"]
SGD = [  # RMSprop would hide gradients that are off by the number of replicas
    *RMSPROP,
    *(f"--config.optimizer.{network}.name=sgd" for network in ("generator", "discriminator")),
    *("--config.optimizer.generator.learning_rate=0.1",),
    *("--config.optimizer.discriminator.learning_rate=0.1",),
]
MANY_OPTIONS = [
    *RMSPROP,
    "--config.loss.objective=hinge",
    "--config.model.num_classes=2",
    "--config.optimizer.generator.clip_norm=0.5",
    "--config.train.discriminator_steps=2",
    "--config.train.ema_half_life_images=100",
    "--config.train.diff_augment=translation",
]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return command_on_20_images(tmp_path_factory.mktemp("same"))


@pytest.fixture(
    scope="module",
    params=[pytest.param(True, marks=pytest.mark.slow), False],
    ids=["XLA", "kernels"],
)
def either_way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Command:
    return command_on_20_images(tmp_path_factory.mktemp("either"), xla=request.param)


@pytest.fixture(scope="module")
def plain(either_way: Command) -> Path:
    """A run with RMSprop on one replica."""
    either_way.finish(*RMSPROP, run="plain")
    return either_way.folder / "plain"


def finish_workers(command: Command, *flags: str, run: str) -> list[str]:
    workers = command.start_workers(*flags, run=run)
    outputs = [worker.communicate(timeout=180)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    return outputs


@pytest.mark.parametrize("name, flags", [("sgd", SGD), ("many", MANY_OPTIONS)])
def test_replicas_and_processes(either_way: Command, name: str, flags: list[str]) -> None:
    one = either_way.folder / f"{name}-1"
    either_way.finish(*flags, run=one.name)
    start = weights(one, 24)
    moved = [(start[key] != value).any() for key, value in weights(one, STEPS).items()]
    assert np.mean(moved) > 0.8  # equal because nothing was trained would prove nothing
    if name == "many":  # the next test has RMSprop on 4 replicas, tests/gan/test_step.py SGD on 2
        output = either_way.finish(*flags, "--logical_devices=4", run=f"{name}-4")
        assert "4 replica(s)" in output
        assert_same_bits(one, either_way.folder / f"{name}-4", STEPS)
    outputs = finish_workers(either_way, *flags, run=f"{name}-workers")
    assert_same_bits(one, either_way.folder / f"{name}-workers", STEPS)
    assert "Grids:" in outputs[0] and "Grids:" not in outputs[1]  # only the chief writes


def test_a_checkpoint_goes_on_with_other_replicas(either_way: Command, plain: Path) -> None:
    either_way.finish("--config.train.steps=10", "--logical_devices=2", run="elastic")
    finish_workers(either_way, "--config.train.steps=16", run="elastic")
    either_way.finish("--config.train.steps=24", "--logical_devices=4", run="elastic")
    either_way.finish(*RMSPROP, run="elastic")
    assert_same_bits(plain, either_way.folder / "elastic", STEPS)


def test_what_must_not_matter(either_way: Command, plain: Path) -> None:
    either_way.finish(*RMSPROP, "--config.train.steps_per_call=7", "--deterministic", run="other")
    assert_same_bits(plain, either_way.folder / "other", STEPS)


def test_all_replicas_hold_the_same() -> None:
    config, strategy = tiny_config(), make_strategy_of(2)
    gan = build_gan_on(config, strategy)
    run_steps(gan, config, 3, replicas=2)
    parts = (gan.generator, gan.discriminator, gan.generator_optimizer, gan.discriminator_optimizer)
    for variable in (variable for part in parts for variable in part.variables):
        first, second = strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "worker"])
def test_a_killed_worker_stops_the_other(command: Command, victim: int) -> None:
    """That the group then goes on, tests/launch/test_local.py shows."""
    run = f"lost-{victim}"
    long_run = ["--config.train.steps=100000", "--config.train.checkpoint_every_steps=20"]
    workers = command.start_workers(*long_run, run=run)
    wait_for(command.folder / run / "checkpoints/step-40.index")
    workers[victim].send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    output = workers[1 - victim].communicate(timeout=60)[0]
    assert time.monotonic() - killed_at < 30
    assert workers[1 - victim].returncode == 1
    last = output.splitlines()[-1]
    assert "error: another worker has gone" in last and run in last
    workers[victim].communicate()


@pytest.mark.parametrize("told", [0, 1], ids=["chief", "worker"])
def test_sigterm_on_any_worker_saves_once_on_all(command: Command, told: int) -> None:
    run = f"told-{told}"
    workers = command.start_workers("--config.train.steps=100000", run=run)
    wait_for(command.folder / run / "metrics.jsonl")
    workers[told].send_signal(signal.SIGTERM)
    outputs = [worker.communicate(timeout=150)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [143, 143], outputs
    stopped = {output.split("stopped at step ")[-1].split(" of")[0] for output in outputs}
    assert len(stopped) == 1
    assert (command.folder / run / f"checkpoints/step-{stopped.pop()}.index").exists()


@pytest.mark.parametrize(
    "what, flags, environment",
    [
        ("config", ["--config.seed=1"], {}),
        ("threads", [], {"TF_NUM_INTRAOP_THREADS": "1"}),
        ("oneDNN", [], {"TF_ENABLE_ONEDNN_OPTS": "0"}),
    ],
)
def test_workers_that_differ_are_told(
    what: str, flags: list[str], environment: dict[str, str], command: Command
) -> None:
    workers = command.start_workers(
        run=f"disagree-{what}", last_flags=(flags, []), first_environment=environment
    )
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    for worker, output in zip(workers, outputs, strict=True):
        assert worker.returncode == 2
        assert f"the workers do not have the same {what}" in output.splitlines()[-1]
