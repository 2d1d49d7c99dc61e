from typing import get_args

from trainer import choices
from trainer.evaluation.measure_names import better_direction
from trainer.gan import build
from trainer.gan.augment import POLICIES
from trainer.gan.penalties import PENALTIES


def test_what_can_be_chosen_is_what_is_implemented() -> None:
    assert set(get_args(choices.Architecture)) == set(build.GENERATORS) == set(build.DISCRIMINATORS)
    assert set(get_args(choices.Precision)) == set(build.DTYPE_POLICIES)
    assert set(get_args(choices.OptimizerName)) == set(build.OPTIMIZERS)
    assert set(get_args(choices.PenaltyName)) == {"none", *PENALTIES}
    assert set(get_args(choices.Augmentation)) == set(POLICIES)
    assert all(better_direction(f"quality/{name}") for name in get_args(choices.RankingMeasure))
