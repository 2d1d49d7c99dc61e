import numpy as np
import pytest
import tensorflow as tf

from trainer.gan.keyed_random import Purpose, group_key
from trainer.gan.layers import KeyedDropout


def key(group: int) -> tf.Tensor:
    return group_key(0, Purpose.DISCRIMINATOR_DROPOUT, 0, group)


def test_dropout_share_scale_and_keys() -> None:
    layer, ones = KeyedDropout(0.25), tf.ones((8, 5000))
    dropped = layer(ones, key(0)).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_allclose((dropped == 0).mean(), 0.25, atol=0.01)
    np.testing.assert_array_equal(dropped, layer(ones, key(0)))
    assert (dropped != layer(ones, key(1)).numpy()).any()


@pytest.mark.parametrize("rate, given", [(0.5, None), (0.0, key(0))])
def test_dropout_off(rate: float, given: tf.Tensor | None) -> None:
    images = np.random.default_rng(0).normal(size=(8, 4, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(KeyedDropout(rate)(images, given), images)
