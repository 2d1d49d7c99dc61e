import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.gan.keyed_random import Purpose, group_key
from trainer.gan.layers import KeyedDropout, Normalization, SpectralConv2D, SpectralDense


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


@pytest.mark.parametrize("kind", [SpectralConv2D, SpectralDense])
def test_the_kernel_is_divided_by_its_largest_singular_value(kind: type) -> None:
    layer = kind(6, 3) if kind is SpectralConv2D else kind(6)
    shape = (2, 5, 5, 4) if kind is SpectralConv2D else (2, 9)
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
    for _ in range(100):
        layer(inputs, training=True)
    matrix = layer.kernel.numpy().reshape(-1, 6)
    largest = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[0]
    np.testing.assert_allclose(
        layer.normalized_kernel(training=False), layer.kernel.numpy() / largest, rtol=1e-4
    )
    plain = keras.layers.Conv2D(6, 3) if kind is SpectralConv2D else keras.layers.Dense(6)
    plain.build(inputs.shape)
    plain.set_weights([layer.kernel.numpy() / largest, np.zeros(6)])
    np.testing.assert_allclose(layer(inputs), plain(inputs), atol=1e-5)


def test_the_singular_vector_moves_in_training_only() -> None:
    layer = SpectralDense(3)
    layer(tf.ones((1, 4)))
    before = layer.singular_vector.numpy()
    layer(tf.ones((1, 4)), training=False)
    np.testing.assert_array_equal(layer.singular_vector, before)
    layer(tf.ones((1, 4)), training=True)
    assert (layer.singular_vector.numpy() != before).any()


def test_normalisations_by_hand() -> None:
    inputs = np.random.default_rng(0).normal(2, 3, (4, 5, 5, 2)).astype(np.float32)
    for kind, axes in (("batch", (0, 1, 2)), ("layer", (1, 2, 3))):
        mean, deviation = inputs.mean(axes, keepdims=True), inputs.std(axes, keepdims=True)
        np.testing.assert_allclose(
            Normalization(kind)(inputs, training=True), (inputs - mean) / deviation, atol=1e-3
        )
    np.testing.assert_array_equal(Normalization("none")(inputs), inputs)


@pytest.mark.parametrize("num_classes, precision", [(0, "float32"), (2, "mixed_bfloat16")])
def test_fused_batch_norm_is_that_of_keras(num_classes: int, precision: str) -> None:
    """Outputs, gradients and moving statistics, whose variance is that of the batch itself."""
    random = np.random.default_rng(0)
    inputs = tf.constant(random.normal(2, 3, (2, 2, 1, 5)), precision.removeprefix("mixed_"))
    weights = tf.constant(random.normal(size=inputs.shape), inputs.dtype)
    classes = tf.one_hot([0, 1], num_classes) if num_classes else None
    found = []
    for fused in (False, True):
        layer = Normalization("batch", 0.9, num_classes, precision, fused)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, classes, training=True)
            loss = tf.reduce_sum(outputs * weights)
        variables = [variable.value for variable in layer.trainable_variables]
        gradients = tape.gradient(loss, [inputs, *variables])
        again = layer(inputs, classes, training=False)
        found.append([outputs, again, *gradients, *(v.numpy() for v in layer.variables)])
    tolerance = 1e-5 if precision == "float32" else 3e-2
    for plain, other in zip(*found, strict=True):
        assert plain.dtype == other.dtype
        np.testing.assert_allclose(
            tf.cast(other, tf.float32), tf.cast(plain, tf.float32), tolerance, tolerance
        )


def test_a_class_has_its_own_scale_and_offset() -> None:
    layer = Normalization("batch", num_classes=2)
    inputs = np.random.default_rng(0).normal(size=(4, 3, 3, 2)).astype(np.float32)
    classes = tf.one_hot([0, 1, 0, 1], 2)
    plain = layer(inputs, classes, training=True).numpy()
    np.testing.assert_allclose(plain, Normalization("batch")(inputs, training=True), atol=1e-6)
    layer.class_scale.set_weights([np.array([[1.0, 1.0], [2.0, 3.0]])])
    layer.class_offset.set_weights([np.array([[0.0, 0.0], [5.0, 6.0]])])
    changed = layer(inputs, classes, training=True).numpy()
    np.testing.assert_allclose(changed[::2], plain[::2], atol=1e-6)
    np.testing.assert_allclose(changed[1::2], plain[1::2] * [2, 3] + [5, 6], atol=1e-5)
