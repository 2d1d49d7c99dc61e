"""--mode=evaluate: scores of checkpoints, SavedModels and pictures, and several side by side."""

import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainer.config import Config
from trainer.data.image_folder import holds_pictures
from trainer.data.preparation import prepared_records
from trainer.data.tfrecord import read_manifest
from trainer.errors import UserError
from trainer.evaluation.custom_model import check_trusted, is_saved_model, load_saved_model
from trainer.evaluation.evaluate import Evaluation, Evaluator
from trainer.evaluation.features import load_extractor
from trainer.evaluation.pictures import first_of, open_pictures, reference_of_pictures
from trainer.evaluation.reference import load_reference
from trainer.run.checkpoints import find_checkpoint, load_generator
from trainer.run.data_record import read_data_record, tell_other_records
from trainer.run.pretrained import WEIGHTS, has_weights
from trainer.run.run_dir import CHECKPOINTS, CONFIG, EVALUATION, read_config
from trainer.sampling.sampler import Sampler
from trainer.storage.bucket import SAVED_MODEL
from trainer.storage.bucket_errors import reason
from trainer.storage.disk import storage_refused
from trainer.storage.files import check_no_folder, naming_the_output, write_text

log = logging.getLogger(__name__)


def evaluate_runs(
    sources: list[str],
    *,
    checkpoint: str,
    count: int | None,
    seed: int,
    config: Config | None,
    output: str | None,
    real: str | None = None,
    trusts_saved_models: bool = False,
) -> None:
    """Scores run directories, SavedModels, folders of pictures and .npz, and writes the JSON.

    Left out, `count` is the config's `evaluation.images`, the config, with the records and the
    extractor, is each run's own, `real`, in place of the records pictures as `open_pictures` takes
    them, is nothing, and `output` is evaluation.json in the first source, or of pictures in the
    working folder. Without `trusts_saved_models`, none is run, be it a source or an extractor.

    Raises:
        UserError: a source, a checkpoint, the records or the extractor will not do.
    """
    path = output or os.path.join("" if _is_pictures(sources[0]) else sources[0], EVALUATION)
    with naming_the_output(path, "--output"):
        # Before the work, not after it.
        tf.io.gfile.makedirs(os.path.dirname(output or ".") or ".")
    check_no_folder(path, "FILE.json")
    configs = [config or _config_of(source) for source in sources]
    for each in (*sources, *(run_config.evaluation.extractor for run_config in configs)):
        check_trusted(each, trusts_saved_models)
    evaluators: dict[str, Evaluator] = {}
    found = []
    for source, run_config in zip(sources, configs, strict=True):
        number = count or run_config.evaluation.images
        key = f"{run_config.data.records_dir} {run_config.evaluation.extractor} {number}"
        if key not in evaluators:
            evaluators[key] = _evaluator(run_config, number, real)
        if config is None:
            manifest = read_manifest(run_config.data.records_dir)
            tell_other_records(source, manifest, "compared with")
        evaluator = evaluators[key]
        shape = evaluator.extractor.image_shape
        drawn = _drawn(source, checkpoint, seed, number, channels=shape[2])
        _check_shape(source, drawn.image_shape, shape)
        log.info("Evaluating %s samples of %s ...", f"{number:,}", drawn.name)
        found.append(evaluator.evaluate(drawn.images, drawn.name, drawn.step, seed, drawn.labels))
        print(f"{drawn.name}\n{found[-1].table()}", flush=True)
        for caveat in (*evaluator.caveats, *_too_early(source, drawn.step)):
            print(f"note: {caveat}")
        print(flush=True)
    if len(found) > 1:
        print(comparison(found))
    write_text(path, json.dumps([dataclasses.asdict(e) for e in found], indent=2) + "\n")
    print(path)


def comparison(evaluations: list[Evaluation]) -> str:
    """A text table: a line for each measure that all have, with mean and standard deviation."""
    names = [n for n in evaluations[0].measures if all(n in e.measures for e in evaluations)]
    letters = [chr(ord("A") + i) if i < 26 else str(i) for i in range(len(evaluations))]
    lines = [f"{letter}: {e.source}" for letter, e in zip(letters, evaluations, strict=True)]
    heads = "".join(f"{letter:>11}" for letter in letters)
    lines.append(f"{'':34}{heads}{'mean':>11}{'sd':>11}{'real':>11}")
    for name in names:
        values = [e.measures[name].value for e in evaluations]
        cells = [*values, np.mean(values), np.std(values, ddof=1)]
        cells.append(evaluations[0].measures[name].floor)
        lines.append(f"{name:34}" + "".join(f"{cell:11.4g}" for cell in cells))
    return "\n".join(lines)


def _config_of(source: str) -> Config:
    kind = "a SavedModel" if is_saved_model(source) else "no run but pictures"
    if is_saved_model(source) or _is_pictures(source):
        raise UserError(
            f"{source} is {kind}, which does not say what the real images are: give the --config "
            "whose data.records_dir holds them, or --real=PATH."
        )
    return read_config(source)


def _is_pictures(source: str) -> bool:
    """Whether a source is an .npz, or a folder of pictures with nothing of a run."""
    if source.endswith(".npz") or not os.path.isdir(source):
        return source.endswith(".npz")
    of_a_run = (CONFIG, CHECKPOINTS, WEIGHTS, SAVED_MODEL)
    if any(os.path.exists(os.path.join(source, name)) for name in of_a_run):
        return False
    return holds_pictures(source)


def _sample_signature(source: str) -> Any:
    # A damaged file can fail in as many ways as it has parts.
    try:
        return load_saved_model(source).signatures["sample"]
    except Exception as error:
        if storage_refused(error):
            raise
        raise UserError(
            f"{source} is damaged, or no export of this program ({reason(error)}): write it again "
            "with --mode=export."
        ) from error


def _too_early(source: str, step: int | None) -> list[str]:
    """Why a checkpoint is too young to be judged, if it is."""
    data = read_data_record(source) if step else None
    if not (step and data):
        return []
    epochs = step * read_config(source).images_per_step / data.num_images
    if epochs >= 1.0:
        return []
    return [f"step {step} is {epochs:.2g} epochs: too few to judge what this model can draw."]


def _evaluator(config: Config, count: int, real: str | None) -> Evaluator:
    records_dir, name = config.data.records_dir, config.evaluation.extractor
    if real:
        source = open_pictures(real)
        extractor = load_extractor("random" if name == "auto" else name, "", source.image_shape)
        reference = reference_of_pictures(source, extractor)
    else:
        manifest = prepared_records(config)
        extractor = load_extractor(name, records_dir, manifest.image_shape)
        reference = load_reference(records_dir, manifest, extractor)
    return Evaluator(reference, count, "--count")


def _check_shape(source: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise UserError(
            f"{source} has images of {'x'.join(map(str, found))}, and the real ones are "
            f"{'x'.join(map(str, wanted))}: how they are scaled is a part of what is measured, so "
            "bring them to one size first, or give others to compare with."
        )


class _Drawn(NamedTuple):
    """What is drawn from a source: blocks of images, and, where known, what was asked for."""

    name: str
    step: int | None
    image_shape: tuple[int, ...]
    images: Iterator[np.ndarray]
    labels: np.ndarray | None


def _drawn(source: str, checkpoint: str, seed: int, count: int, channels: int) -> _Drawn:
    if _is_pictures(source):
        pictures = open_pictures(source, channels)
        return _Drawn(source, None, pictures.image_shape, first_of(pictures, count), None)
    if is_saved_model(source):
        signature = _sample_signature(source)
        labels = set(signature.structured_input_signature[1]) - {"seed", "count"}
        extra = {name: tf.constant(-1, tf.int64) for name in labels}

        numbers = {"seed": tf.constant(seed, tf.int64), "count": tf.constant(count, tf.int64)}
        images = signature(**numbers, **extra)["images"].numpy()
        return _Drawn(source, None, images.shape[1:], iter([images]), None)
    name, step = source, None
    if not has_weights(source):
        name = find_checkpoint(source, checkpoint)
        step = int(name.rsplit("-", 1)[1])
    sampler = Sampler(load_generator(source, checkpoint))
    shape, images = sampler.generator.image_shape, sampler.images(seed, count)
    return _Drawn(name, step, shape, images, sampler.labels(count))
