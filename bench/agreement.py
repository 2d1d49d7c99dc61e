"""Candidates that train the same task: shown to be equal first, compared then."""

from collections.abc import Sequence

import numpy as np

from bench.peers.peer import FIRST_UPDATES, Facts, disagreements
from bench.report import BenchResult, Row
from bench.task import Task
from bench.timed_processes import Candidate, TimedProcesses, fastest, ratios

OURS = "ours"


def check(processes: TimedProcesses, task: Task, tolerance: float = 1e-3) -> dict[str, Facts]:
    """Lets all tell their facts; leaves out those that do something else than ours.

    Args:
        processes: of `Peer`s, one of them named OURS.
        task: that they train.
        tolerance: of images, logits and penalty.
    """
    random = np.random.default_rng(1)
    latents = random.standard_normal((task.batch_size, task.latent_dim), np.float32)
    pixels = (task.batch_size, task.resolution, task.resolution, 1)
    images = random.uniform(-1, 1, pixels).astype(np.float32)
    weights = processes.call_one(OURS, "weights")
    steps = max(1, FIRST_UPDATES // task.discriminator_steps)
    facts: dict[str, Facts] = processes.call("facts", *weights, latents, images, steps)
    for name, found in facts.items():
        print(
            f"  {name}: first losses G {found.losses[0]:.3f}, D {found.losses[1]:.3f}; first "
            f"updates {found.first_update[0]:.2e}, {found.first_update[1]:.2e}",
            flush=True,
        )
        if words := disagreements(found, facts[OURS], tolerance):
            processes.leave_out(name, "; ".join(words))
    return facts


def compare(
    candidates: Sequence[Candidate],
    task: Task,
    rounds: int,
    turn_seconds: float,
    tolerance: float = 1e-3,
) -> BenchResult:
    """Makes and checks all, then measures those that agree: ours over each and the fastest."""
    with TimedProcesses(candidates) as processes:
        facts = check(processes, task, tolerance)
        steps = processes.measure(rounds, turn_seconds, task.penalty_every_steps)
    rates = {name: [rate * task.images_per_step for rate in of] for name, of in steps.items()}
    peers = {name: of for name, of in rates.items() if name != OURS}
    rows = [Row.of(OURS, rates[OURS], "images/s")]
    rows += [Row.of(f"ours / {name}", ratios(rates[OURS], of)) for name, of in peers.items()]
    if peers:
        best = fastest(peers)
        rows.append(Row.of(f"ours / the fastest ({best})", ratios(rates[OURS], peers[best])))
    agreed = {
        name: {
            "weights": f.weights,
            "penalty": f.penalty,
            "first_update": f.first_update,
            "first_losses": f.losses,
        }
        for name, f in facts.items()
    }
    return BenchResult(
        rows,
        {"images_per_second": rates, "facts": agreed, "left_out": processes.failures},
        [f"{name} is left out: {reason}" for name, reason in processes.failures.items()],
    )
