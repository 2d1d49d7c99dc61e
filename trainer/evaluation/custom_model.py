"""Features by a model of the user's own: a .keras file or a SavedModel.

Images are scaled to [-1, 1], resized to the model's input (bilinear, with antialiasing: Parmar
et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation") and, if grey,
repeated for a model that takes more channels. The model's first output (of a SavedModel: by
name) is flattened and taken as features. A Keras file is read in safe mode, which runs no code of
its own; a SavedModel is a program, which `check_trusted` holds back.
"""

import hashlib
import math
import os
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import UserError
from trainer.storage.bucket import SAVED_MODEL
from trainer.storage.bucket_errors import reason
from trainer.storage.disk import storage_refused
from trainer.storage.files import without_patterns

Network = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]
"""From uint8 [B, H, W, C] to float features [B, D] and, of a classifier, logits [B, K]."""


def is_custom_model(path: str) -> bool:
    """Whether there is a .keras file, or the folder of a SavedModel."""
    return is_saved_model(path) or (path.endswith(".keras") and bool(tf.io.gfile.exists(path)))


def is_saved_model(path: str) -> bool:
    """Whether there is the folder of a SavedModel."""
    return bool(tf.io.gfile.exists(tf.io.gfile.join(path, SAVED_MODEL)))


def load_saved_model(path: str) -> Any:
    """Loads a SavedModel, whose folder may have any name."""
    with without_patterns(os.path.join(path, SAVED_MODEL)) as file:
        return tf.saved_model.load(os.path.dirname(file))


def check_trusted(path: str, trusts_saved_models: bool) -> None:
    """Checks what may be a SavedModel before anything of it is read.

    Raises:
        UserError: it is one, and the user has not said that those may run.
    """
    if is_saved_model(path) and not trusts_saved_models:
        raise UserError(
            f"{path} is a SavedModel, a program that can read and write files: if you trust who "
            "made it, give --trust_saved_models."
        )


def load_custom_model(path: str, image_shape: tuple[int, int, int]) -> tuple[str, str, Network]:
    """Loads a model, local or gs://, that takes one float32 batch of images of shape H, W, C.

    Returns:
        Its file's name without the ending, the first 8 hexadecimal digits of the sha256 of its
        files, and the network, which gives features only.

    Raises:
        UserError: it cannot be loaded, or takes or gives something else.
    """
    path = path.rstrip("/")
    load = _load_keras if path.endswith(".keras") else _load_saved_model
    # A model can be broken, or lack its layers' code, in as many ways as there are layers.
    try:
        spec, first_output = load(path)
        _check_input(path, spec, image_shape)
        output = first_output(tf.zeros([2, *spec.shape[1:]]))
    except UserError:
        raise
    except Exception as error:
        if storage_refused(error):
            raise
        raise UserError(
            f"{path} cannot be loaded and run ({reason(error)}): save a model of Keras's own "
            "layers without Lambda, or export a SavedModel."
        ) from error
    if output.shape.rank < 2 or output.shape[0] != 2:
        raise UserError(
            f"{path} gives numbers of shape {output.shape} for 2 images: give a model whose "
            "first output has a row for each image."
        )
    _, height, width, channels = spec.shape

    def network(images: tf.Tensor) -> tuple[tf.Tensor]:
        x = tf.cast(images, tf.float32) / 127.5 - 1.0
        if (height, width) != image_shape[:2]:
            x = tf.image.resize(x, (height, width), antialias=True)
        if channels != image_shape[2]:
            x = tf.repeat(x, channels, axis=-1)
        # The size of the output is known to the eager one, not always to a traced one.
        return (tf.reshape(first_output(x), [-1, math.prod(output.shape[1:])]),)

    return os.path.basename(path).removesuffix(".keras"), _hash(path), network


def _load_keras(path: str) -> tuple[tf.TensorSpec, Callable[[tf.Tensor], tf.Tensor]]:
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    inputs = keras.tree.flatten(model.inputs)
    if len(inputs) != 1:
        raise UserError(f"{path} takes {len(inputs)} inputs: give a model that takes images only.")
    spec = tf.TensorSpec(inputs[0].shape, inputs[0].dtype)
    return spec, lambda x: keras.tree.flatten(model(x, training=False))[0]


def _load_saved_model(path: str) -> tuple[tf.TensorSpec, Callable[[tf.Tensor], tf.Tensor]]:
    model = load_saved_model(path)
    if "serving_default" not in model.signatures:
        raise UserError(
            f"{path} has no signature serving_default: export it with model.export(FOLDER)."
        )
    inputs = model.signatures["serving_default"].structured_input_signature[1]
    if len(inputs) != 1:
        raise UserError(f"{path} takes {len(inputs)} inputs: give a model that takes images only.")
    ((name, spec),) = inputs.items()

    def first_output(x: tf.Tensor) -> tf.Tensor:
        # By way of the model: a signature alone does not keep its variables alive.
        outputs = model.signatures["serving_default"](**{name: x})
        return outputs[min(outputs)]

    return spec, first_output


def _check_input(path: str, spec: tf.TensorSpec, image_shape: tuple[int, int, int]) -> None:
    if spec.dtype != tf.float32 or spec.shape.rank != 4 or spec.shape[0] is not None:
        raise UserError(
            f"{path} takes {spec.dtype.name} {spec.shape}: give a model that takes float32 "
            "(None, height, width, channels), in [-1, 1]."
        )
    if None in spec.shape[1:]:
        raise UserError(
            f"{path} takes images of any size, {spec.shape}: save it for one, such as "
            "keras.Input((299, 299, 3))."
        )
    if spec.shape[3] != image_shape[2] != 1:
        raise UserError(
            f"{path} takes images of {spec.shape[3]} channels and these have {image_shape[2]}: "
            "give a model for such images; only grey ones are repeated."
        )


def _hash(path: str) -> str:
    """Of the bytes of a file, or of the names and bytes of all files of a folder."""
    paths = [path]
    if tf.io.gfile.isdir(path):
        paths = sorted(
            tf.io.gfile.join(folder, name)
            for folder, _, names in tf.io.gfile.walk(path)
            for name in names
        )
    digest = hashlib.sha256()
    for each in paths:
        digest.update(each.removeprefix(path).encode())
        with tf.io.gfile.GFile(each, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:8]
