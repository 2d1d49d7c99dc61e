import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import build_gan_on, make_strategy_of, real_batch, spread
from tests.tiny import tiny_config
from trainer.config import Config
from trainer.gan.keyed_random import Purpose, group_key, normal, uniform
from trainer.gan.state import Gan
from trainer.gan.step import AdversarialStep


def run_steps(
    gan: Gan, config: Config, steps: int, replicas: int = 1, jit_compile: bool = True
) -> list[dict[str, float]]:
    strategy = make_strategy_of(replicas)
    step = AdversarialStep(gan, config, strategy, jit_compile)
    return [
        {
            name: float(value)
            for name, value in step(spread(real_batch(i), strategy), tf.constant(0.0))[0].items()
        }
        for i in range(steps)
    ]


def weights(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def test_one_step_is_what_the_formulas_say() -> None:
    """Against layers of Keras, the losses in NumPy, and RMSprop written out."""
    config = tiny_config()
    config.train.group_size = 8
    config.model.dropout_rate = 0.5
    gan = build_gan_on(config, make_strategy_of(1))
    before = [weights(gan.generator), weights(gan.discriminator)]
    metrics = run_steps(gan, config, 1)[0]
    after = [weights(gan.generator), weights(gan.discriminator)]

    def key(purpose: Purpose) -> tf.Tensor:
        return group_key(config.seed, purpose, 0, 0)

    def generate(values: list[tf.Tensor], purpose: Purpose) -> tf.Tensor:
        dense, bias, kernel, gamma, beta, _, _, kernel2, gamma2, beta2, _, _, last, bias2 = values
        x = tf.reshape(normal(key(purpose), (8, 8)) @ dense + bias, (8, 2, 2, 8))
        for size, conv, scale, offset in ((4, kernel, gamma, beta), (8, kernel2, gamma2, beta2)):
            x = tf.nn.conv2d_transpose(x, conv, (8, size, size, conv.shape[2]), 2, "SAME")
            mean, variance = tf.nn.moments(x, (0, 1, 2))
            x = tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)
            x = tf.nn.leaky_relu(x, 0.2)
        return tf.tanh(tf.nn.conv2d(x, last, 1, "SAME") + bias2)

    def judge(values: list[tf.Tensor], images: tf.Tensor, purpose: Purpose) -> tf.Tensor:
        kernel, bias, kernel2, bias2, head, head_bias = values
        x = tf.nn.leaky_relu(tf.nn.conv2d(images, kernel, 2, "SAME") + bias, 0.2)
        x = tf.nn.leaky_relu(tf.nn.conv2d(x, kernel2, 2, "SAME") + bias2, 0.2)
        kept = tf.cast(uniform(key(purpose), x.shape) >= 0.5, tf.float32) * 2
        return tf.reshape(tf.reshape(x * kept, (len(images), -1)) @ head + head_bias, (-1,))

    def rmsprop(value: np.ndarray, gradient: tf.Tensor, learning_rate: float) -> np.ndarray:
        return value - learning_rate * gradient / np.sqrt(0.1 * np.square(gradient) + 1e-7)

    d_values = [tf.constant(value) for value in before[1]]
    g_values = [tf.constant(value) for value in before[0]]
    real = real_batch(0).astype(np.float32) / 127.5 - 1
    with tf.GradientTape() as tape:
        tape.watch(d_values)
        fake = generate(g_values, Purpose.DISCRIMINATOR_LATENTS)
        both = tf.concat([real, fake], axis=0)
        logits = judge(d_values, both, Purpose.DISCRIMINATOR_DROPOUT)
        real_logits, fake_logits = logits[:8], logits[8:]
        p_real, p_fake = tf.sigmoid(real_logits), tf.sigmoid(fake_logits)
        real_loss = -tf.reduce_mean(0.9 * tf.math.log(p_real) + 0.1 * tf.math.log(1 - p_real))
        fake_loss = -tf.reduce_mean(tf.math.log(1 - p_fake))
        loss = (real_loss + fake_loss) / 2
    d_after = [
        rmsprop(value, gradient, 5e-5)
        for value, gradient in zip(before[1], tape.gradient(loss, d_values), strict=True)
    ]
    trained = [i for i in range(14) if i not in (5, 6, 10, 11)]  # the rest: moving statistics
    with tf.GradientTape() as tape:
        tape.watch(g_values)
        fake = generate(g_values, Purpose.GENERATOR_LATENTS)
        logits = judge([tf.constant(v) for v in d_after], fake, Purpose.GENERATOR_DROPOUT)
        g_loss = -tf.reduce_mean(tf.math.log(tf.sigmoid(logits)))
    gradients = tape.gradient(g_loss, g_values)

    np.testing.assert_allclose(metrics["loss/discriminator_real"], real_loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/discriminator_fake"], fake_loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/discriminator"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/generator"], g_loss, rtol=1e-5)
    np.testing.assert_allclose(
        metrics["discriminator/real_probability"], np.mean(p_real), rtol=1e-5
    )
    for ours, hand in zip(after[1], d_after, strict=True):
        np.testing.assert_allclose(ours, hand, atol=2e-7)
    for i in trained:
        hand = rmsprop(before[0][i], gradients[i], 5e-4)
        np.testing.assert_allclose(after[0][i], hand, atol=5e-6)


@pytest.mark.parametrize("trained", ["generator", "discriminator"])
def test_an_update_leaves_the_other_network_untouched(trained: str) -> None:
    config = tiny_config()
    gan = build_gan_on(config, make_strategy_of(1))
    other = "discriminator" if trained == "generator" else "generator"
    getattr(gan, f"{other}_optimizer").learning_rate = 0.0
    before = {name: getattr(gan, name).get_weights() for name in (trained, other)}
    run_steps(gan, config, 1, jit_compile=False)
    frozen = [variable.path for variable in getattr(gan, other).trainable_variables]
    for variable, value in zip(getattr(gan, other).variables, before[other], strict=True):
        if variable.path in frozen:
            np.testing.assert_array_equal(variable.numpy(), value)
    changed = [
        (variable.numpy() != value).any()
        for variable, value in zip(getattr(gan, trained).variables, before[trained], strict=True)
    ]
    assert all(changed)


def test_xla_on_and_off_agree() -> None:
    config = tiny_config()
    gans = [build_gan_on(config, make_strategy_of(1)) for _ in range(2)]
    compiled = run_steps(gans[0], config, 6, jit_compile=True)
    plain = run_steps(gans[1], config, 6, jit_compile=False)
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-4)
    for one, other in zip(gans[0].generator.weights, gans[1].generator.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.RMSprop])
def test_two_replicas_compute_what_one_does(optimizer: type) -> None:
    """SGD too: RMSprop would hide gradients that are off by the number of replicas."""
    config = tiny_config()
    results = []
    for replicas in (1, 2):
        strategy = make_strategy_of(replicas)
        with strategy.scope():
            gan = build_gan_on(config, strategy)
            gan = dataclasses.replace(
                gan, generator_optimizer=optimizer(0.01), discriminator_optimizer=optimizer(0.01)
            )
            gan.generator_optimizer.build(gan.generator.trainable_variables)
            gan.discriminator_optimizer.build(gan.discriminator.trainable_variables)
        metrics = run_steps(gan, config, 3, replicas)
        results.append((metrics, weights(gan.generator) + weights(gan.discriminator)))
    for one, two in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(list(one.values()), list(two.values()), rtol=1e-5)
    for one, two in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5 * np.abs(one).max())


def test_groups_have_their_own_statistics_and_the_moving_ones_follow_their_mean() -> None:
    config = tiny_config()  # 4 groups of 2
    gan = build_gan_on(config, make_strategy_of(1))
    dense, bias, kernel = gan.generator.get_weights()[:3]
    run_steps(gan, config, 1)
    means, variances = [], []
    for group in range(4):
        latents = normal(group_key(config.seed, Purpose.GENERATOR_LATENTS, 0, group), (2, 8))
        hidden = tf.reshape(latents @ dense + bias, (2, 2, 2, 8))
        hidden = tf.nn.conv2d_transpose(hidden, kernel, (2, 4, 4, 8), 2, "SAME").numpy()
        means.append(hidden.mean((0, 1, 2), dtype=np.float64))
        variances.append(hidden.var((0, 1, 2), dtype=np.float64))
    layer = next(layer for layer in gan.generator.layers if hasattr(layer, "moving_mean"))
    np.testing.assert_allclose(layer.moving_mean, 0.01 * np.mean(means, axis=0), atol=1e-7)
    np.testing.assert_allclose(
        layer.moving_variance, 0.99 + 0.01 * np.mean(variances, axis=0), rtol=1e-6
    )


def test_bfloat16_computes_near_float32_and_keeps_float32_weights() -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        config = tiny_config()
        config.model.precision = precision
        gan = build_gan_on(config, make_strategy_of(1))
        losses.append(list(run_steps(gan, config, 2)[-1].values()))
        for model in (gan.generator, gan.discriminator):
            assert {variable.dtype for variable in model.variables} == {"float32"}
        assert gan.generator(tf.zeros((1, 8))).dtype == tf.float32
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
    assert losses[0] != losses[1]


def test_golden_losses() -> None:
    """Recorded on 2026-11-22 with TensorFlow 2.21; a refactoring must not change them."""
    config = tiny_config()
    config.optimizer.generator.learning_rate = 0.01
    config.optimizer.discriminator.learning_rate = 0.01
    gan = build_gan_on(config, make_strategy_of(1))
    last = run_steps(gan, config, 5)[-1]
    golden = {"loss/generator": 0.8173911, "loss/discriminator": 0.7190284}
    for name, value in golden.items():
        np.testing.assert_allclose(last[name], value, rtol=1e-3)
    assert int(gan.step.numpy()) == 5
