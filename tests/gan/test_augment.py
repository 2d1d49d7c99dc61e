import numpy as np
import pytest
import tensorflow as tf

from trainer.gan.augment import POLICIES, augment
from trainer.gan.keyed_random import Purpose, group_key, uniform

KEY = group_key(0, Purpose.DISCRIMINATOR_AUGMENT, 0, 0)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (40, 16, 12, 3)).astype(np.float32)


def test_color_by_hand() -> None:
    changed = augment(tf.constant(IMAGES), ("color",), KEY).numpy()
    numbers = uniform(KEY, (40, 7)).numpy()
    for image, result, (b, s, c) in zip(IMAGES, changed, numbers[:, :3], strict=True):
        hand = image + (b - 0.5)
        grey = hand.mean(axis=2, keepdims=True)
        hand = (hand - grey) * 2 * s + grey
        hand = (hand - hand.mean()) * (c + 0.5) + hand.mean()
        np.testing.assert_allclose(result, hand, atol=1e-5)


def test_translation_moves_whole_pixels_both_ways() -> None:
    moved = augment(tf.constant(IMAGES), ("translation",), KEY).numpy()
    found = set()
    for image, result in zip(IMAGES, moved, strict=True):
        shifts = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.array_equal(result, shifted(image, dy, dx))
        ]
        assert len(shifts) == 1
        found.add(shifts[0])
    assert {dy for dy, _ in found} == {-2, -1, 0, 1, 2}
    assert {dx for _, dx in found} == {-2, -1, 0, 1, 2}


def shifted(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The image moved down and right over zeros."""
    height, width, _ = image.shape
    wide = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    return wide[2 - dy : 2 - dy + height, 2 - dx : 2 - dx + width]


def test_cutout_sets_one_rectangle_to_zero() -> None:
    cut = augment(tf.constant(IMAGES), ("cutout",), KEY).numpy()
    areas = []
    for image, result in zip(IMAGES, cut, strict=True):
        zero = (result == 0).all(axis=2)
        rows, columns = np.flatnonzero(zero.any(axis=1)), np.flatnonzero(zero.any(axis=0))
        assert zero[np.ix_(rows, columns)].all() and zero.sum() == len(rows) * len(columns)
        assert len(rows) <= 8 and len(columns) <= 6
        np.testing.assert_array_equal(result[~zero], image[~zero])
        areas.append(zero.sum())
    assert max(areas) == 8 * 6 and min(areas) < 8 * 6  # some reach over the edge


@pytest.mark.parametrize("policies", [("color",), ("translation",), ("cutout",), tuple(POLICIES)])
def test_gradients_flow_and_images_differ(policies: tuple[str, ...]) -> None:
    images = tf.constant(np.tile(IMAGES[:1], (40, 1, 1, 1)))
    with tf.GradientTape() as tape:
        tape.watch(images)
        changed = augment(images, policies, KEY)
        loss = tf.reduce_sum(changed**2)
    gradients = tape.gradient(loss, images).numpy()
    assert np.isfinite(gradients).all()
    assert all(np.any(gradient != 0) for gradient in gradients)
    assert len(np.unique(changed.numpy().reshape(40, -1), axis=0)) > 10


def test_nothing_asked_for_changes_nothing() -> None:
    np.testing.assert_array_equal(augment(tf.constant(IMAGES), (), KEY), IMAGES)
