"""What every measure asks of features [N, D], and how it walks over pairs of samples."""

from collections.abc import Iterator

import numpy as np

from trainer.errors import UserError

_BLOCK_NUMBERS = 2**22  # of a matrix of pairs that are held at a time: 32 MiB in float64


def checked(features: np.ndarray, at_least: int = 1) -> np.ndarray:
    """Features [N, D] as float64.

    Raises:
        UserError: fewer samples than `at_least`, or a feature that is not finite.
    """
    features = np.asarray(features, np.float64)
    assert features.ndim == 2, f"features of shape {features.shape} are not [N, D]"
    if len(features) < at_least:
        raise UserError(
            f"{len(features)} samples where {at_least} are needed: raise --count, in "
            "training --config.evaluation.images, or use a larger set if these are the real ones."
        )
    for row, column in np.argwhere(~np.isfinite(features)):
        raise UserError(
            f"feature {column} of sample {row} is {features[row, column]}: the generator "
            "or the feature network has diverged; evaluate an earlier checkpoint."
        )
    return features


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows, so that a matrix [slice, columns] stays near 32 MiB."""
    step = max(1, _BLOCK_NUMBERS // columns)
    for start in range(0, rows, step):
        yield slice(start, start + step)
