"""Quality during training: scores at epochs' ends, the best checkpoint, alarms, patience."""

import dataclasses
import functools
import json
import os
import time

import numpy as np

from trainer.config import Config
from trainer.data.tfrecord import Manifest
from trainer.errors import UserError
from trainer.evaluation.alarms import Alarm, quality_alarms
from trainer.evaluation.evaluate import Evaluator, features_of, is_better
from trainer.evaluation.features import load_extractor
from trainer.evaluation.neighbours import nearest
from trainer.evaluation.reference import images_at, load_reference
from trainer.run.metrics_file import read_metrics
from trainer.run.run_dir import NEAREST, QUALITY_FLOOR
from trainer.sampling.pictures import grid
from trainer.sampling.sampler import Sampler
from trainer.storage.files import write_bytes, write_text
from trainer.storage.png import png

_PICTURE_PAIRS = 16
_HEADLINE = ("fid", "coverage", "recall", "class_kl", "label_accuracy")


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation during training found.

    Attributes:
        values: for metrics.jsonl and TensorBoard, under their names there.
        alarms: about collapse and memorisation.
        headline: the main measures in one line.
        is_best: whether every earlier evaluation of the run scored worse.
    """

    values: dict[str, float]
    alarms: list[Alarm]
    headline: str
    is_best: bool


class QualityMonitor:
    """Evaluates the generator of a run; made on the chief only."""

    def __init__(self, config: Config, manifest: Manifest, sampler: Sampler, run_dir: str) -> None:
        """Reads or computes the features of the real images, and reads the earlier evaluations.

        Raises:
            UserError: the extractor or the number of images does not fit the set.
        """
        self.config = config.evaluation
        self.records_dir, self.manifest = config.data.records_dir, manifest
        self.sampler, self.seed = sampler, config.seed
        self.run_dir = run_dir
        extractor = load_extractor(self.config.extractor, self.records_dir, manifest.image_shape)
        reference = load_reference(self.records_dir, manifest, extractor)
        self.evaluator = Evaluator(reference, self.config.images)
        self.suffix = f"_{extractor.name}"
        if self.config.best_by == "class_kl" and self.evaluator.real.probabilities is None:
            raise UserError(
                f"evaluation.best_by is {self.config.best_by}, which the extractor "
                f"{extractor.name} cannot measure: it knows no classes; fid would do."
            )
        best_by = f"quality/{self.config.best_by}{self.suffix}"
        self.history = [self._short(line) for line in read_metrics(run_dir) if best_by in line]
        self.started, self.spent_seconds = time.perf_counter(), 0.0

    def evaluate(self, step: int, epoch: float) -> EvaluationResult:
        """Scores the generator as it is now, after `step` steps and `epoch` epochs.

        Before the end of the first epoch, a generator that draws all alike is no alarm yet.
        """
        before = time.perf_counter()
        images = self.sampler.images(self.seed, self.config.images)
        labels = self.sampler.labels(self.config.images)
        measures = self.evaluator.evaluate(images, self.run_dir, step, self.seed, labels).measures
        values = {f"quality/{name}": measure.value for name, measure in measures.items()}
        short = self._short(values)
        alarms = quality_alarms(short, self.floor, self.history) if epoch >= 1.0 else []
        self.history.append(short)
        seconds = time.perf_counter() - before
        self.spent_seconds += seconds
        cost = {
            "speed/evaluation_seconds": seconds,
            "speed/evaluation_fraction": self.spent_seconds / (time.perf_counter() - self.started),
        }
        mark = "" if self.evaluator.extractor.is_trained else "_random"
        headline = "  ".join(
            f"{name}{mark} {short[name]:.4g} (real {self.floor[name]:.4g})"
            for name in _HEADLINE
            if name in short
        )
        is_best = self._evaluations_since_best() == 0
        return EvaluationResult(values | cost, alarms, f"{headline}  {seconds:.0f} s", is_best)

    @functools.cached_property
    def floor(self) -> dict[str, float]:
        """What real images score; not before the first evaluation, so that training starts soon."""
        floor = self.evaluator.floor
        named = {f"quality/{name}{self.suffix}": value for name, value in floor.items()}
        write_text(os.path.join(self.run_dir, QUALITY_FLOOR), json.dumps(named, indent=2) + "\n")
        return floor

    @property
    def out_of_patience(self) -> bool:
        """Whether too many evaluations in a row have found nothing better."""
        return 0 < self.config.patience_evaluations <= self._evaluations_since_best()

    def write_nearest(self) -> str:
        """Draws samples beside the training images nearest in features; the picture's path."""
        samples = np.concatenate(list(self.sampler.images(self.seed, _PICTURE_PAIRS)))
        features = features_of(self.evaluator.extractor, [samples]).values
        train = self.evaluator.train
        rows = nearest(features, train.features)[0][:, 0]
        real = images_at(self.records_dir, self.manifest, train.places[rows])
        pairs = np.stack([samples, real], axis=1).reshape(-1, *samples.shape[1:])
        path = os.path.join(self.run_dir, NEAREST)
        write_bytes(path, png(grid(pairs, columns=8)))
        return path

    def _short(self, values: dict[str, float]) -> dict[str, float]:
        """The measures alone, under names without their extractor."""
        return {
            name.removeprefix("quality/").removesuffix(self.suffix): value
            for name, value in values.items()
            if name.endswith(self.suffix)
        }

    def _evaluations_since_best(self) -> int:
        by, best = self.config.best_by, 0
        for index, line in enumerate(self.history):
            if is_better(by, line[by], self.history[best][by]):
                best = index
        return max(len(self.history) - 1 - best, 0)
