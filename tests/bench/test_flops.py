import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bench import flops
from bench.programs import program_texts
from bench.task import Task
from tests.helpers.tiny import tiny_config
from trainer.config import Config


@pytest.fixture
def config() -> Config:
    config = tiny_config()
    config.train.group_size = 0
    config.train.convolutions = "plain"
    return config


def counted_by_ones(pixels: int, kernel: int, stride: int) -> int:
    """Products of a convolution of one channel: of ones with ones, the sum of the output."""
    before = (kernel - stride) // 2
    image = np.pad(np.ones((pixels, pixels)), (before, kernel - stride - before))
    places = range(0, pixels, stride)
    return int(
        sum(
            image[y : y + kernel, x : x + kernel].sum()
            for y, x in itertools.product(places, places)
        )
    )


@pytest.mark.parametrize("pixels, kernel, stride", [(28, 4, 2), (8, 4, 2), (28, 5, 1), (9, 3, 1)])
def test_a_convolution_counts_what_meets(pixels: int, kernel: int, stride: int) -> None:
    layer = flops.convolution(pixels, kernel, stride, 3, 5)
    assert layer.products == 15 * counted_by_ones(pixels, kernel, stride)


def test_by_hand_as_in_the_programs(config: Config) -> None:
    by_xla = sum(flops.of_hlo(text) for text in program_texts(config))
    assert flops.of_step(Task.of(config)) == by_xla


def hlo_of(function: Any, *arguments: Any) -> str:
    compiled = tf.function(function, jit_compile=True)
    return compiled.experimental_get_compiler_ir(*arguments)(stage="hlo")


def test_programs_are_counted_as_known() -> None:
    left, right = tf.ones([2, 3]), tf.ones([3, 5])
    assert flops.of_hlo(hlo_of(lambda x, y: x @ y, left, right)) == 2 * 2 * 3 * 5
    # 1x1 pixels, all but the middle of the kernel on padding.
    image, kernel = tf.ones([1, 1, 1, 2]), tf.ones([3, 3, 2, 4])
    text = hlo_of(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME"), image, kernel)
    assert flops.of_hlo(text) == 2 * 2 * 4
    # A transposed one: 2 * 2 pixels, each into 2 * 2 places.
    image, kernel = tf.ones([1, 2, 2, 1]), tf.ones([2, 2, 1, 1])
    text = hlo_of(
        lambda x, k: tf.nn.conv2d_transpose(x, k, [1, 4, 4, 1], 2, "VALID"), image, kernel
    )
    assert flops.of_hlo(text) == 2 * 16


def test_what_nobody_needs_is_not_counted() -> None:
    def first_alone(x: tf.Tensor) -> tf.Tensor:
        _ = x @ x
        return x + 1.0

    assert flops.of_hlo(hlo_of(first_alone, tf.ones([4, 4]))) == 0
