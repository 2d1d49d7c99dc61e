from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import (
    assert_same_state,
    build_gan_on,
    each_step,
    make_strategy_of,
    real_batch,
    run_steps,
    state_of,
)
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import SGD, VARIANTS, Changes, changed, variant
from trainer.config import Config
from trainer.gan.keyed_random import Purpose, group_key, normal, uniform
from trainer.gan.state import Gan
from trainer.run.checkpoints import Checkpoints

_ALWAYS_COMPILED = ("least_squares", "wasserstein")


def tiny_gan(changes: Changes) -> tuple[Gan, Config]:
    """The initial state of the tiny config with changes, on one device."""
    config = changed(tiny_config(), changes)
    return build_gan_on(config, make_strategy_of(1)), config


def weights(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def drawn(draw: Callable[..., Any], purpose: Purpose, shape: Any, group: int = 0) -> tf.Tensor:
    """The numbers of a group in the first step of seed 0."""
    return draw(group_key(0, purpose, 0, group), shape)


def generate(values: list[tf.Tensor], latents: tf.Tensor) -> tf.Tensor:
    """The tiny config's generator in training, from its weights."""
    dense, bias, kernel, gamma, beta, _, _, kernel2, gamma2, beta2, _, _, last, bias2 = values
    x = tf.reshape(latents @ dense + bias, (8, 2, 2, 8))
    for size, conv, scale, offset in ((4, kernel, gamma, beta), (8, kernel2, gamma2, beta2)):
        x = tf.nn.conv2d_transpose(x, conv, (8, size, size, conv.shape[2]), 2, "SAME")
        mean, variance = tf.nn.moments(x, (0, 1, 2))
        x = tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)
        x = tf.nn.leaky_relu(x, 0.2)
    return tf.tanh(tf.nn.conv2d(x, last, 1, "SAME") + bias2)


def discriminate(values: list[tf.Tensor], images: tf.Tensor, purpose: Purpose) -> tf.Tensor:
    """The logits of the tiny config's discriminator, half of whose features are dropped."""
    kernel, bias, kernel2, bias2, head, head_bias = values
    x = tf.nn.leaky_relu(tf.nn.conv2d(images, kernel, 2, "SAME") + bias, 0.2)
    x = tf.nn.leaky_relu(tf.nn.conv2d(x, kernel2, 2, "SAME") + bias2, 0.2)
    kept = tf.cast(drawn(uniform, purpose, x.shape) >= 0.5, tf.float32) * 2
    return tf.reshape(tf.reshape(x * kept, (len(images), -1)) @ head + head_bias, (-1,))


def rmsprop(value: np.ndarray, gradient: tf.Tensor, learning_rate: float) -> np.ndarray:
    """The first update."""
    return value - learning_rate * gradient / np.sqrt(0.1 * np.square(gradient) + 1e-7)


def test_one_step_is_what_the_formulas_say() -> None:
    """Against layers of Keras, the losses in NumPy, and RMSprop written out."""
    gan, config = tiny_gan({"train.group_size": 8, "model.dropout_rate": 0.5})
    before = [weights(gan.generator), weights(gan.discriminator)]
    metrics = run_steps(gan, config, 1)[0]
    after = [weights(gan.generator), weights(gan.discriminator)]

    g_values, d_values = ([tf.constant(value) for value in values] for values in before)
    real = real_batch(0).astype(np.float32) / 127.5 - 1
    with tf.GradientTape() as tape:
        tape.watch(d_values)
        fake = generate(g_values, drawn(normal, Purpose.DISCRIMINATOR_LATENTS, (8, 8)))
        both = tf.concat([real, fake], axis=0)
        logits = discriminate(d_values, both, Purpose.DISCRIMINATOR_DROPOUT)
        p_real, p_fake = tf.sigmoid(logits[:8]), tf.sigmoid(logits[8:])
        real_loss = -tf.reduce_mean(0.9 * tf.math.log(p_real) + 0.1 * tf.math.log(1 - p_real))
        fake_loss = -tf.reduce_mean(tf.math.log(1 - p_fake))
        loss = (real_loss + fake_loss) / 2
    d_after = [
        rmsprop(value, gradient, 5e-5)
        for value, gradient in zip(before[1], tape.gradient(loss, d_values), strict=True)
    ]
    with tf.GradientTape() as tape:
        tape.watch(g_values)
        fake = generate(g_values, drawn(normal, Purpose.GENERATOR_LATENTS, (8, 8)))
        logits = discriminate([tf.constant(v) for v in d_after], fake, Purpose.GENERATOR_DROPOUT)
        g_loss = -tf.reduce_mean(tf.math.log(tf.sigmoid(logits)))
    gradients = tape.gradient(g_loss, g_values)

    by_hand = {
        "loss/discriminator_real": real_loss,
        "loss/discriminator_fake": fake_loss,
        "loss/discriminator": loss,
        "loss/generator": g_loss,
        "discriminator/real_probability": np.mean(p_real),
    }
    for name, value in by_hand.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    for ours, hand in zip(after[1], d_after, strict=True):
        np.testing.assert_allclose(ours, hand, atol=2e-7)
    for i in (i for i in range(14) if i not in (5, 6, 10, 11)):  # the rest: moving statistics
        hand = rmsprop(before[0][i], gradients[i], 5e-4)
        np.testing.assert_allclose(after[0][i], hand, atol=5e-6)


@pytest.mark.parametrize("trained", ["generator", "discriminator"])
def test_an_update_leaves_the_other_network_untouched(trained: str) -> None:
    other = "discriminator" if trained == "generator" else "generator"
    gan, config = tiny_gan({f"optimizer.{other}.learning_rate": 1e-30})
    before = {name: weights(getattr(gan, name)) for name in (trained, other)}
    run_steps(gan, config, 1)
    frozen = [variable.path for variable in getattr(gan, other).trainable_variables]
    for variable, value in zip(getattr(gan, other).variables, before[other], strict=True):
        if variable.path in frozen:
            np.testing.assert_allclose(variable.numpy(), value, atol=1e-28)
    changes = [
        (variable.numpy() != value).any()
        for variable, value in zip(getattr(gan, trained).variables, before[trained], strict=True)
    ]
    assert all(changes)


def test_xla_on_and_off_agree() -> None:
    gans, histories = [], []
    for jit_compile in ("true", "false"):
        gan, config = tiny_gan({"train.jit_compile": jit_compile})
        histories.append(run_steps(gan, config, 6))
        gans.append(gan)
    compiled, plain = histories
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-4)
    for one, other in zip(gans[0].generator.weights, gans[1].generator.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    "name, jit_compile",
    [
        *((name, "false") for name in VARIANTS),
        # Compiling takes minutes; these two have most options between them.
        *((name, "true") for name in _ALWAYS_COMPILED),
        *(
            pytest.param(name, "true", marks=pytest.mark.slow)
            for name in VARIANTS
            if name not in _ALWAYS_COMPILED
        ),
    ],
)
def test_one_replica_then_two_after_a_resume_are_as_one(
    name: str, jit_compile: str, tmp_path: Path
) -> None:
    """Every objective and option, by XLA and without: to the last bit, with the metrics."""
    config = changed(variant(name), {"train.jit_compile": jit_compile})
    straight = build_gan_on(config, make_strategy_of(1))
    start = state_of(straight)
    history = []
    for step, metrics in enumerate(each_step(straight, config, 5), start=1):
        history.append(metrics)
        if step == 2:
            Checkpoints(straight, str(tmp_path)).save(2)
    assert np.isfinite([list(metrics.values()) for metrics in history]).all()
    moved = {n: (value != start[n]).any() for n, value in state_of(straight).items()}
    assert all(m for n, m in moved.items() if "kernel" in n or "moving" in n)

    resumed = build_gan_on(config, make_strategy_of(2))
    assert Checkpoints(resumed, str(tmp_path)).restore() == 2
    assert run_steps(resumed, config, 3, replicas=2) == history[2:]
    assert_same_state(straight, resumed)


def test_several_discriminator_steps_are_as_many_real_ones() -> None:
    """With G held still, one step of three is three steps of one: fresh data, noise, dropout."""
    gans = []
    for per_step, steps in ((3, 2), (1, 6)):
        changes = {"train.discriminator_steps": per_step}
        gan, config = tiny_gan(changes | {"optimizer.generator.learning_rate": 1e-30})
        run_steps(gan, config, steps)
        gans.append(gan)
    for one, other in zip(
        weights(gans[0].discriminator), weights(gans[1].discriminator), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert [int(gan.discriminator_optimizer.iterations.numpy()) for gan in gans] == [6, 6]
    assert [int(gan.generator_optimizer.iterations.numpy()) for gan in gans] == [2, 6]


def test_a_simultaneous_generator_learns_from_the_discriminator_before_its_update() -> None:
    results = []
    for order, learning_rate in (("simultaneous", 0.1), ("alternating", 1e-30)):
        changes = {**SGD, "train.update_order": order}
        changes["optimizer.discriminator.learning_rate"] = learning_rate
        gan, config = tiny_gan(changes)
        run_steps(gan, config, 1)
        results.append(gan)
    for one, other in zip(*(weights(gan.generator) for gan in results), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(
        (one != other).any()
        for one, other in zip(*(weights(gan.discriminator) for gan in results), strict=True)
    )


def test_inference_mode_fakes_are_those_of_the_moving_statistics() -> None:
    changes = {"train.group_size": 8, "model.dropout_rate": 0.0}
    gan, config = tiny_gan(changes | {"train.inference_mode_fakes": True})
    latents = drawn(normal, Purpose.DISCRIMINATOR_LATENTS, (8, 8))
    logits = gan.discriminator(gan.generator(latents, training=False)).numpy()
    metrics = run_steps(gan, config, 1)[0]
    np.testing.assert_allclose(
        metrics["loss/discriminator_fake"], np.mean(np.logaddexp(0, logits)), rtol=1e-5
    )


def test_a_lazy_penalty_comes_seldom_and_weighs_more() -> None:
    found = []
    for every in (1, 3):
        changes = {"loss.penalty": "r1", "loss.penalty_every_steps": every}
        changes |= {"optimizer.discriminator.learning_rate": 1e-30}
        gan, config = tiny_gan(changes)
        found.append([m["loss/penalty"] for m in run_steps(gan, config, 4)])
    assert found[1][1] == found[1][2] == 0.0
    np.testing.assert_allclose(found[1][0], 3 * found[0][0], rtol=1e-6)
    np.testing.assert_allclose(found[1][3], 3 * found[0][3], rtol=1e-6)


def test_clipping_is_of_the_whole_gradient() -> None:
    """SGD moves by learning rate x gradient, so a clipped step has a known length."""
    gan, config = tiny_gan({**SGD, "optimizer.discriminator.clip_norm": 1e-3})
    before = weights(gan.discriminator)
    run_steps(gan, config, 1)
    moves = [after - b for after, b in zip(weights(gan.discriminator), before, strict=True)]
    length = np.sqrt(sum((move.astype(np.float64) ** 2).sum() for move in moves))
    np.testing.assert_allclose(length, 0.1 * 1e-3, rtol=1e-3)


@pytest.mark.parametrize("ramp", [0.0, 0.5])
def test_the_average_follows_the_closed_form(ramp: float) -> None:
    """w_n = sum of (1 - k_i) * product of later k_j * theta_i, with k from the half-life."""
    ema = {"train.ema_half_life_images": 20, "train.ema_ramp_up_share": ramp}
    gan, config = tiny_gan(ema)
    history = [[w.astype(np.float64) for w in weights(gan.generator)]]
    for _ in each_step(gan, config, 6):
        history.append([w.astype(np.float64) for w in weights(gan.generator)])
    half_lives = [min(20, 8 * step * ramp) if ramp else 20 for step in range(6)]
    keeps = [0.5 ** (8 / h) if h else 0.0 for h in half_lives]
    shares = [np.prod(keeps)] + [(1 - keeps[i]) * np.prod(keeps[i + 1 :]) for i in range(6)]
    np.testing.assert_allclose(sum(shares), 1)
    hand = [
        sum(s * w for s, w in zip(shares, each, strict=True)) for each in zip(*history, strict=True)
    ]
    assert len(hand) == len(gan.ema.variables) == 14  # moving statistics too
    for value, expected in zip(weights(gan.ema), hand, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


def test_groups_have_their_own_statistics_and_the_moving_ones_follow_their_mean() -> None:
    gan, config = tiny_gan({})  # 4 groups of 2
    dense, bias, kernel = gan.generator.get_weights()[:3]
    run_steps(gan, config, 1)
    means, variances = [], []
    for group in range(4):
        latents = drawn(normal, Purpose.GENERATOR_LATENTS, (2, 8), group)
        hidden = tf.reshape(latents @ dense + bias, (2, 2, 2, 8))
        hidden = tf.nn.conv2d_transpose(hidden, kernel, (2, 4, 4, 8), 2, "SAME").numpy()
        means.append(hidden.mean((0, 1, 2), dtype=np.float64))
        variances.append(hidden.var((0, 1, 2), dtype=np.float64))
    layer = gan.generator.blocks[0].normalization.norm
    np.testing.assert_allclose(layer.moving_mean, 0.01 * np.mean(means, axis=0), atol=1e-7)
    np.testing.assert_allclose(
        layer.moving_variance, 0.99 + 0.01 * np.mean(variances, axis=0), rtol=1e-6
    )


def test_bfloat16_computes_near_float32_and_keeps_float32_weights() -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        gan, config = tiny_gan({"model.precision": precision})
        losses.append(list(run_steps(gan, config, 2)[-1].values()))
        for model in (gan.generator, gan.discriminator):
            assert {variable.dtype for variable in model.variables} == {"float32"}
        assert gan.generator(tf.zeros((1, 8))).dtype == tf.float32
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
    assert losses[0] != losses[1]


def test_golden_losses() -> None:
    """Recorded on 2026-11-22 with TensorFlow 2.21; a refactoring must not change them."""
    rates = {f"optimizer.{name}.learning_rate": 0.01 for name in ("generator", "discriminator")}
    gan, config = tiny_gan(rates)
    last = run_steps(gan, config, 5)[-1]
    golden = {"loss/generator": 0.8173911, "loss/discriminator": 0.7190284}
    for name, value in golden.items():
        np.testing.assert_allclose(last[name], value, rtol=1e-3)
    assert int(gan.step.numpy()) == 5
