import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.gan.keyed_random import Purpose, group_keys
from trainer.gan.layers import GroupBatchNormalization, KeyedDropout

IMAGES = np.random.default_rng(0).normal(2.0, 3.0, (8, 4, 4, 5)).astype(np.float32)


def test_one_group_is_keras_batch_normalization() -> None:
    ours, keras_layer = GroupBatchNormalization(8), keras.layers.BatchNormalization()
    for _ in range(3):
        np.testing.assert_allclose(
            ours(IMAGES, training=True), keras_layer(IMAGES, training=True), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(ours.moving_mean, keras_layer.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, keras_layer.moving_variance, rtol=1e-5)
    np.testing.assert_allclose(ours(IMAGES), keras_layer(IMAGES), rtol=1e-4, atol=1e-5)


def test_groups_are_normalised_apart() -> None:
    layer = GroupBatchNormalization(2)
    whole = layer(IMAGES, training=True).numpy()
    for group in np.split(whole, 4):
        np.testing.assert_allclose(group.mean(axis=(0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(group.var(axis=(0, 1, 2)), 1, rtol=1e-3)


def test_moving_statistics_follow_the_mean_over_groups() -> None:
    layer = GroupBatchNormalization(2, momentum=0.75)
    layer(IMAGES, training=True)
    groups = IMAGES.reshape(4, 2, 4, 4, 5).astype(np.float64)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * groups.mean((1, 2, 3)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        layer.moving_variance, 0.75 + 0.25 * groups.var((1, 2, 3)).mean(0), rtol=1e-5
    )


def test_dropout_share_scale_and_keys() -> None:
    layer = KeyedDropout(0.25)
    ones = tf.ones((8, 5000))
    keys = group_keys(0, Purpose.DROPOUT_REAL, 0, tf.range(4, dtype=tf.int64))
    dropped = layer(ones, keys).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_allclose((dropped == 0).mean(), 0.25, atol=0.01)
    np.testing.assert_array_equal(dropped[2:4], layer(ones[:2], keys[1:2]))
    assert (dropped[:2] != dropped[2:4]).any()


@pytest.mark.parametrize("rate, keys", [(0.5, None), (0.0, tf.zeros((1, 2), tf.int64))])
def test_dropout_off(rate: float, keys: tf.Tensor | None) -> None:
    np.testing.assert_array_equal(KeyedDropout(rate)(IMAGES, keys), IMAGES)
