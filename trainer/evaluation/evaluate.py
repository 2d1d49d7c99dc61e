"""How good a generator's images are: every measure with its interval and its noise floor."""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import numpy as np

from trainer.evaluation import statistics
from trainer.evaluation.features import Extractor, Features
from trainer.evaluation.measure_names import better_direction
from trainer.evaluation.neighbours import (
    duplicate_threshold,
    manifold_contributions,
    nearest,
    nearest_other,
)
from trainer.evaluation.reference import Reference

NEIGHBOURS = 5
_RESAMPLES = 100
_ENOUGH_SAMPLES_A_FEATURE = 10
_BOOTSTRAP_SEED = 0

Estimate = tuple[float, float, float]
"""A value and the two ends of its interval."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure of some samples, its 95% interval, and what as many real images score.

    The interval is a bootstrap over the samples (`statistics.bootstrap_interval`);
    of kid, 1.96 standard errors either way; of modes, the value itself.
    """

    value: float
    low: float
    high: float
    floor: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All measures of one generator, and what they are measures of.

    Attributes:
        measures: by name, such as `fid_mnist64_1a2b3c4d`.
        source: the checkpoint or SavedModel.
        step: of the checkpoint, None for a SavedModel.
        samples: N, generated images; as many real ones for comparison and for the floor.
        neighbours: k of precision, recall, density and coverage.
        extractor: name and hash of the feature extractor.
        sampling_seed: decides the latents.
        records: hash of the manifest of the real images.
    """

    measures: dict[str, Measure]
    source: str
    step: int | None
    samples: int
    neighbours: int
    extractor: str
    sampling_seed: int
    records: str

    def table(self) -> str:
        """The measures as a text table."""
        lines = [f"{'':34}{'value':>10}  {'95% interval':>22}{'real vs real':>14}"]
        for name, m in self.measures.items():
            interval = f"{m.low:.4g} to {m.high:.4g}"
            lines.append(f"{name:34}{m.value:10.4g}  {interval:>22}{m.floor:14.4g}")
        return "\n".join(lines)


class Evaluator:
    """Compares samples with one half of some real images, and the other half for the floor."""

    def __init__(
        self, reference: Reference, count: int, flag: str = "--config.evaluation.images"
    ) -> None:
        """Prepares everything that does not depend on the `count` samples to come.

        `flag` is how a user changes the count.

        Raises:
            UserError: N is too small for the extractor, or too large for the set.
        """
        self.real, self.others, self.train = reference.split(count, flag)
        statistics.check_enough(count, reference.extractor.feature_size, flag)
        self.extractor = reference.extractor
        self.manifest_hash = reference.manifest_hash
        self.count = count
        self.real_moments = statistics.moments(self.real.features)
        self.duplicate_threshold = duplicate_threshold(self.real.features)
        self.memorised_threshold = reference.memorised_threshold

    @functools.cached_property
    def floor(self) -> dict[str, float]:
        """What N other real images score, under short names; seconds at the first call."""
        features = Features(self.others.features, self.others.probabilities)
        others = self._estimates(features, self.others.labels)
        return {name: value for name, (value, _, _) in others.items()}

    @property
    def caveats(self) -> list[str]:
        """Why its figures say less than they seem to, a sentence each."""
        found, features = [], self.extractor.feature_size
        if not self.extractor.is_trained:
            found.append(
                f"{self.extractor.name} is a network of random weights, which sees little of what "
                "people see: its figures compare runs on this set, and prove no image good. With "
                "labels, trainer.evaluation.train_classifier makes a better one."
            )
        if self.count < _ENOUGH_SAMPLES_A_FEATURE * features:
            found.append(
                f"{self.count} samples are few for {features} features: fid is too high for both "
                f"the samples and the real images; {_ENOUGH_SAMPLES_A_FEATURE * features} would do."
            )
        return found

    def evaluate(
        self,
        images: Iterable[np.ndarray],
        source: str,
        step: int | None,
        sampling_seed: int,
        labels: np.ndarray | None = None,
    ) -> Evaluation:
        """Scores generated images, blocks of uint8 [n, H, W, C], `count` images in all.

        `labels`, int [count], are what a conditional model was asked to draw.

        Raises:
            UserError: the features are not finite.
        """
        return Evaluation(
            measures=self.measures(features_of(self.extractor, images), labels),
            source=source,
            step=step,
            samples=self.count,
            neighbours=NEIGHBOURS,
            extractor=self.extractor.name,
            sampling_seed=sampling_seed,
            records=self.manifest_hash,
        )

    def measures(self, features: Features, labels: np.ndarray | None = None) -> dict[str, Measure]:
        """The measures of N samples that are features already, under their full names."""
        assert len(features.values) == self.count
        return {
            f"{name}_{self.extractor.name}": Measure(*estimate, floor=self.floor[name])
            for name, estimate in self._estimates(features, labels).items()
        }

    def _estimates(self, features: Features, labels: np.ndarray | None) -> dict[str, Estimate]:
        """The measures under their short names."""
        fake, real = features.values, self.real.features
        found = statistics.kernel_distance(real, fake)
        of_each = manifold_contributions(real, fake, NEIGHBOURS)
        estimates = {
            "fid": _resampled(
                lambda rows: statistics.frechet_distance(
                    self.real_moments, statistics.moments(fake[rows])
                ),
                self.count,
            ),
            "kid": (
                found.estimate,
                found.estimate - 1.96 * found.standard_error,
                found.estimate + 1.96 * found.standard_error,
            ),
            **{
                field.name: _mean_of(getattr(of_each, field.name))
                for field in dataclasses.fields(of_each)
            },
            "near_duplicates": _mean_of(nearest_other(fake) <= self.duplicate_threshold),
            "memorised": _mean_of(
                nearest(fake, self.train.features)[1] <= self.memorised_threshold
            ),
        }
        if features.probabilities is None or self.real.probabilities is None:
            return estimates
        estimates |= self._class_estimates(features.probabilities, self.real.probabilities)
        # A classifier of other things, or real images without labels, do not know what was asked.
        classes = features.probabilities.shape[1]
        knows = self.real.labels.min() >= 0 and self.real.labels.max() + 1 == classes
        if labels is not None and knows:
            estimates["label_accuracy"] = _mean_of(features.probabilities.argmax(axis=1) == labels)
        return estimates

    def _class_estimates(self, fake: np.ndarray, real: np.ndarray) -> dict[str, Estimate]:
        """What the classifier's probabilities [N, K] say about fakes and reals."""
        fake_labels, real_labels, classes = fake.argmax(axis=1), real.argmax(axis=1), fake.shape[1]
        modes = float(statistics.modes(fake_labels, real_labels, classes))
        return {
            "classifier_score": _resampled(
                lambda rows: statistics.classifier_score(fake[rows]), self.count
            ),
            "class_kl": _resampled(
                lambda rows: statistics.class_divergence(fake_labels[rows], real_labels, classes),
                self.count,
            ),
            "modes": (modes, modes, modes),
        }


def features_of(extractor: Extractor, images: Iterable[np.ndarray]) -> Features:
    """Features of blocks of images, uint8 [n, H, W, C]; a block is forgotten when it is done."""
    parts = [extractor(block) for block in images]
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Features(
        np.concatenate([part.values for part in parts]),
        np.concatenate(probabilities) if probabilities else None,
    )


def is_better(measure: str, value: float, other: float) -> bool:
    """Whether `value` of a measure, such as `fid_mnist64_1a2b3c4d`, is better than `other`."""
    return value < other if better_direction(measure) == "lower" else value > other


def _resampled(statistic: Callable[[np.ndarray], float], count: int) -> Estimate:
    low, high = statistics.bootstrap_interval(statistic, count, _BOOTSTRAP_SEED, _RESAMPLES)
    return statistic(np.arange(count)), low, high


def _mean_of(values: np.ndarray) -> Estimate:
    """Mean of one value a sample, float or bool [N] or [N, 1]."""
    flat = values.reshape(-1).astype(np.float64)
    return _resampled(lambda rows: float(flat[rows].mean()), len(flat))
