"""evaluate: seconds for 10,000 samples and every measure of them.

An untrained generator of configs/mnist.py: it takes as long as a trained one.
"""

import time

import numpy as np

from bench.records import mnist_or_alike
from bench.report import BenchResult, Row
from bench.timed_processes import Candidate, TimedProcesses
from configs.mnist import get_config
from trainer.config import Config


class Evaluation:
    """Scores in a process of its own; loading the reference is not part of a score."""

    def __init__(self, config: Config, count: int) -> None:
        from trainer.data.tfrecord import read_manifest
        from trainer.evaluation.evaluate import Evaluator
        from trainer.evaluation.features import load_extractor
        from trainer.evaluation.reference import load_reference
        from trainer.gan.build import build_generator
        from trainer.sampling.sampler import Sampler

        records_dir = config.data.records_dir
        manifest = read_manifest(records_dir)
        extractor = load_extractor(config.evaluation.extractor, records_dir, manifest.image_shape)
        self.count = count
        self.sampler = Sampler(build_generator(config))
        reference = load_reference(records_dir, manifest, extractor)
        self.evaluator = Evaluator(reference, count)
        started = time.perf_counter()
        assert self.evaluator.floor
        self.floor_seconds = time.perf_counter() - started
        next(self.sampler.images(0, 1))  # traces

    def score(self, seed: int) -> dict[str, float]:
        """Seconds of each part."""
        from trainer.evaluation.evaluate import features_of

        moments = [time.perf_counter()]
        images = np.concatenate(list(self.sampler.images(seed, self.count)))
        moments.append(time.perf_counter())
        # Blocks of 64, as the trainer hands them over.
        features = features_of(
            self.evaluator.extractor, np.split(images, range(64, self.count, 64))
        )
        moments.append(time.perf_counter())
        self.evaluator.measures(features)
        moments.append(time.perf_counter())
        parts = dict(zip(("drawing", "features", "measures"), np.diff(moments), strict=True))
        return {name: float(seconds) for name, seconds in parts.items()} | {
            "floor": self.floor_seconds
        }


def run(quick: bool) -> BenchResult:
    """One score."""
    config = get_config()
    config.data.records_dir = mnist_or_alike()
    count = 1_000 if quick else 10_000
    candidate = Candidate(
        "evaluation", "bench.evaluate:Evaluation", {"config": config, "count": count}
    )
    with TimedProcesses([candidate]) as processes:
        seconds = processes.call_one("evaluation", "score", 0)
    floor = seconds.pop("floor")
    return BenchResult(
        [
            Row.of(f"{count:,} samples and all measures", [sum(seconds.values())], "s"),
            *(Row.of(part, [of_part], "s") for part, of_part in seconds.items()),
            Row.of("the floor, once a run", [floor], "s"),
        ],
        {"seconds": seconds, "floor_seconds": floor, "samples": count},
    )
