"""The real images that samples are compared with, as features, kept beside the records."""

import dataclasses
import hashlib
import io
import logging
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from trainer.data.pipeline import batches_in_order, naming_damaged_records
from trainer.data.tfrecord import Manifest
from trainer.errors import DiskError, UserError
from trainer.evaluation.features import Extractor
from trainer.evaluation.neighbours import duplicate_threshold
from trainer.storage.files import write_bytes
from trainer.storage.npz import DAMAGED_NPZ

log = logging.getLogger(__name__)

# A larger set is represented by so many of its images; enough for 50,000 samples and their floor.
_IMAGES_AT_MOST = 120_000
_ORDER_SEED = 0

Batches = Iterator[tuple[np.ndarray, np.ndarray]]
"""Images uint8 [n, H, W, C] and labels int [n], -1 where there are none."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Features of the images of a record set, in an order that is mixed once for all.

    Attributes:
        features: float32 [M, D], of at most 120,000 images.
        probabilities: float32 [M, K], of the extractor's classes; None where it has none.
        labels: int64 [M], -1 where an image has none.
        places: int64 [M], of the images among the records.
        memorised_threshold: distance within which 1% of all M images have another.
        manifest_hash: first 8 hex digits of the sha256 of the manifest, or, of images without
            records, of their bytes.
    """

    extractor: Extractor
    features: np.ndarray
    probabilities: np.ndarray | None
    labels: np.ndarray
    places: np.ndarray
    memorised_threshold: float
    manifest_hash: str

    def split(
        self, count: int, flag: str = "--config.evaluation.images"
    ) -> tuple["Reference", "Reference", "Reference"]:
        """`count` images to compare with, as many others for the floor, and all but those others.

        Raises:
            UserError: the set has too few images.
        """
        needed = 2 * (self.extractor.feature_size + 1)
        if len(self.features) < needed:
            raise UserError(
                f"the set has {len(self.features)} images, and {self.extractor.feature_size} "
                f"features can be compared with {needed} or more: take a larger set, or an "
                "extractor of fewer features."
            )
        if 2 * count > len(self.features):
            raise UserError(
                f"{count} samples are to be compared with as many real images, and with as many "
                f"others for the floor, but the set has {len(self.features)}: set "
                f"{flag}={len(self.features) // 2} or fewer."
            )
        whole = np.arange(len(self.features))
        floor = (whole >= count) & (whole < 2 * count)
        return self._part(whole < count), self._part(floor), self._part(~floor)

    def _part(self, chosen: np.ndarray) -> "Reference":
        return dataclasses.replace(
            self,
            features=self.features[chosen],
            probabilities=None if self.probabilities is None else self.probabilities[chosen],
            labels=self.labels[chosen],
            places=self.places[chosen],
        )


def load_reference(records_dir: str, manifest: Manifest, extractor: Extractor) -> Reference:
    """Reads the features from the folder of the records, or computes and keeps them there."""
    manifest_hash = hashlib.sha256(manifest.to_json().encode()).hexdigest()[:8]
    path = os.path.join(records_dir, "features", f"{extractor.name}_{manifest_hash}.npz")
    rows = min(manifest.num_images, _IMAGES_AT_MOST)
    found = _kept(path, (rows, extractor.feature_size))
    if found is None:
        with naming_damaged_records(records_dir):
            batches = (
                (images.numpy(), labels.numpy())
                for images, labels in batches_in_order(records_dir, manifest)
            )
            found = _compute(manifest.num_images, batches, extractor)
        _keep(path, found)
    return _reference(extractor, found, manifest_hash)


def reference_of(num_images: int, batches: Batches, extractor: Extractor) -> Reference:
    """The features of images that have no records; they are not kept."""
    digest = hashlib.sha256()

    def hashed() -> Batches:
        for images, labels in batches:
            digest.update(images.tobytes())
            yield images, labels

    found = _compute(num_images, hashed(), extractor)
    return _reference(extractor, found, digest.hexdigest()[:8])


def images_at(records_dir: str, manifest: Manifest, places: np.ndarray) -> np.ndarray:
    """The images at some places among the records, uint8 [len(places), H, W, C]."""
    wanted, found, first = set(places.tolist()), {}, 0
    with naming_damaged_records(records_dir):
        for images, _ in batches_in_order(records_dir, manifest):
            for place in wanted & set(range(first, first + len(images))):
                found[place] = images[place - first].numpy()
            first += len(images)
    return np.stack([found[place] for place in places.tolist()])


def _reference(
    extractor: Extractor, arrays: dict[str, np.ndarray], manifest_hash: str
) -> Reference:
    return Reference(
        extractor,
        arrays["features"],
        arrays.get("probabilities"),
        arrays["labels"],
        arrays["places"],
        float(arrays["memorised_threshold"]),
        manifest_hash,
    )


def _compute(num_images: int, batches: Batches, extractor: Extractor) -> dict[str, np.ndarray]:
    """The arrays of a `Reference`, by name."""
    order = np.random.default_rng(_ORDER_SEED).permutation(num_images)
    places = order[:_IMAGES_AT_MOST]
    chosen = np.zeros(num_images, bool)
    chosen[places] = True
    values, probabilities, all_labels, first = [], [], [], 0
    progress = tqdm(total=len(places), unit=" real images", disable=None)
    for images, labels in batches:
        taken = chosen[first : first + len(images)]
        batch = images[taken]
        all_labels.append(labels.astype(np.int64)[taken])
        first += len(images)
        if len(batch):
            seen = extractor(batch)
            values.append(seen.values.astype(np.float32))
            if seen.probabilities is not None:
                probabilities.append(seen.probabilities.astype(np.float32))
        progress.update(len(batch))
    progress.close()
    # From the order of the records to the mixed one.
    rows = np.searchsorted(np.sort(places), places)
    features = np.concatenate(values)[rows]
    arrays: dict[str, np.ndarray] = {
        "features": features,
        "labels": np.concatenate(all_labels)[rows],
        "places": places,
        "memorised_threshold": np.array(duplicate_threshold(features)),
    }
    if probabilities:
        arrays["probabilities"] = np.concatenate(probabilities)[rows]
    return arrays


def _kept(path: str, shape: tuple[int, int]) -> dict[str, np.ndarray] | None:
    """The arrays of a `Reference`; None where there are none or the file is damaged."""
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    try:
        with np.load(io.BytesIO(content)) as arrays:
            found = dict(arrays)
        lengths = {len(found[name]) for name in ("labels", "places")}
        if found["features"].shape != shape or lengths != {shape[0]}:
            raise ValueError(f"features of {found['features'].shape}, not {shape}")
        float(found["memorised_threshold"])
    except DAMAGED_NPZ as error:
        log.warning("%s is damaged or old (%s) and computed anew", path, error)
        return None
    return found


def _keep(path: str, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    try:
        tf.io.gfile.makedirs(os.path.dirname(path))
        write_bytes(path, buffer.getvalue())
    except (tf.errors.OpError, OSError, DiskError) as error:
        log.warning(
            "the features of the real images cannot be kept (%s)", str(error).split("\n")[0]
        )
