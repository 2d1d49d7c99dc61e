import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import run_steps
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import SGD, changed
from trainer.cli import cpu
from trainer.gan.build import build_gan, build_generator
from trainer.gan.convolutions import ShiftedSumConv2D, UnitStrideConv2DTranspose
from trainer.gan.layers import FusedBatchNormalization


def plain_and_other(
    plain: keras.layers.Layer, other: keras.layers.Layer, shape: tuple[int, ...]
) -> list[list[np.ndarray]]:
    """Outputs of both layers on the same input and weights, and gradients of a loss of each."""
    random = np.random.default_rng(0)
    inputs = tf.constant(random.normal(size=shape), tf.float32)
    weights = tf.constant(random.normal(size=plain.compute_output_shape(shape)), tf.float32)
    results = []
    for layer in (plain, other):
        layer.build(shape)
        layer.set_weights(
            [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(plain.weights)]
        )
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            loss = tf.reduce_sum(outputs * weights)
        variables = [variable.value for variable in layer.trainable_variables]
        results.append([outputs, *tape.gradient(loss, [inputs, *variables])])
    return results


@pytest.mark.parametrize(
    "shape", [(2, 14, 14, 5), (3, 12, 6, 1), (1, 13, 1, 2), (2, 7, 7, 3)], ids=str
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_transposed_convolution_equals_keras(shape: tuple[int, ...], use_bias: bool) -> None:
    options = {"strides": 2, "padding": "same", "use_bias": use_bias}
    plain, other = (
        kind(3, 4, **options) for kind in (keras.layers.Conv2DTranspose, UnitStrideConv2DTranspose)
    )
    for expected, got in zip(*plain_and_other(plain, other, shape), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size, filters, channels", [(5, 1, 30), (3, 2, 18), (1, 4, 4), (5, 2, 30)])
def test_few_filters_equal_keras(size: int, filters: int, channels: int) -> None:
    plain, other = (
        kind(filters, size, padding="same") for kind in (keras.layers.Conv2D, ShiftedSumConv2D)
    )
    for expected, got in zip(*plain_and_other(plain, other, (2, 6, 7, channels)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_both_forms_train_alike(precision: str) -> None:
    """A whole step: gradients through both networks, BatchNorm and the second order included."""
    config = changed(
        tiny_config(),
        {
            "model.resolution": 28,
            "model.generator_filters": (8, 8, 32),
            "model.precision": precision,
            "loss.penalty": "wgan_gp",
            **SGD,
        },
    )
    weights = []
    for form in ("plain", "unit_stride"):
        config.train.convolutions = form
        gan = build_gan(config, total_steps=1)
        run_steps(gan, config, 1)
        weights.append([variable.numpy() for variable in gan.generator.variables])
    tolerance = 1e-5 if precision == "float32" else 2e-2
    for plain, other in zip(*weights, strict=True):
        np.testing.assert_allclose(other, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "form, jit_compile, onednn, unit_stride, shifted_sum, fused",
    [
        ("auto", "true", "1", True, True, False),
        ("auto", "false", "1", False, True, True),
        ("auto", "false", "0", False, False, False),
        ("auto", "auto", "0", True, True, False),
        ("plain", "true", "1", False, False, False),
        ("plain", "false", "1", False, False, False),
        ("unit_stride", "false", "1", True, True, False),
    ],
)
def test_forms_are_taken_where_they_are_fast(
    form: str,
    jit_compile: str,
    onednn: str,
    unit_stride: bool,
    shifted_sum: bool,
    fused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "features", lambda: {"avx2"})
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    config = tiny_config()
    config.train.convolutions, config.train.jit_compile = form, jit_compile
    generator = build_generator(config)
    block = generator.blocks[0]
    assert isinstance(block.convolution, UnitStrideConv2DTranspose) == unit_stride
    assert isinstance(generator.to_image, ShiftedSumConv2D) == shifted_sum
    assert isinstance(block.normalization.norm, FusedBatchNormalization) == fused
