"""input: our reader alone, over what the step consumes and beside tfds and PyTorch.

Two sets on the local disk: 60,000 images of 28x28 (raw in our records, PNG in tfds's, as it has
them) and PNG files of 128x128 in colour. The readers' tasks are equal: shuffled batches of
uint8 images.
"""

import os

import numpy as np

from bench.agreement import OURS
from bench.records import mnist_or_alike, photos
from bench.report import RESULTS_DIR, BenchResult, Row
from bench.step import ours
from bench.timed_processes import Candidate, TimedProcesses, ratios
from configs.mnist import get_config

_PHOTOS = 1_000
_READERS = "bench.readers"
_TORCH_READERS = "bench.torch_readers"


def run(quick: bool) -> BenchResult:
    """Small images, then large ones."""
    config = get_config()
    size = config.train.global_batch_size
    records, (files, photo_records) = mnist_or_alike(), photos(_PHOTOS)
    arrays = os.path.join(RESULTS_DIR, "sets", "arrays.npz")
    _write_arrays(records, arrays)
    small = [
        ours(config),
        *_readers("28x28", records, size),
        Candidate(
            "DataLoader, in memory", f"{_TORCH_READERS}:arrays", _arguments(size, path=arrays)
        ),
    ]
    large = [
        *_readers("128x128", photo_records, size),
        Candidate("DataLoader, files", f"{_TORCH_READERS}:files", _arguments(size, folder=files)),
    ]
    rows, details, notes = [], {}, []
    for shape, candidates in (("28x28", small), ("128x128 PNG", large)):
        with TimedProcesses(candidates) as processes:
            batches = processes.measure(
                rounds=2 if quick else 3, turn_seconds=0.3 if quick else 0.7
            )
        rates = {name: [rate * size for rate in of] for name, of in batches.items()}
        notes += [f"{name} is left out: {why}" for name, why in processes.failures.items()]
        details[shape] = rates
        rows += _rows(shape, rates)
    return BenchResult(rows, {"images_per_second": details}, notes)


def _readers(name: str, records: str, batch_size: int) -> list[Candidate]:
    """Ours and tfds's, streaming and in memory."""
    tfds_dir = os.path.join(RESULTS_DIR, "sets", f"tfds_{name}")
    candidates = []
    for where in ("streaming", "in memory"):
        common = _arguments(batch_size, records_dir=records, in_memory=where == "in memory")
        candidates += [
            Candidate(f"our reader, {where}", f"{_READERS}:ours", common),
            Candidate(f"tfds, {where}", f"{_READERS}:tfds_reader", common | {"tfds_dir": tfds_dir}),
        ]
    return candidates


def _arguments(batch_size: int, **others: object) -> dict[str, object]:
    return {"batch_size": batch_size, **others}


def _rows(shape: str, rates: dict[str, list[float]]) -> list[Row]:
    rows = []
    for where in ("streaming", "in memory"):
        own = rates[f"our reader, {where}"]
        rows.append(Row.of(f"{shape}, {where}: our reader", own, "images/s"))
        if OURS in rates:
            label = f"{shape}, {where}: our reader / what the step takes"
            rows.append(Row.of(label, ratios(own, rates[OURS])))
        for name, of in rates.items():
            if name.startswith("tfds") and name.endswith(where):
                rows.append(Row.of(f"{shape}, {where}: our reader / tfds", ratios(own, of)))
            # Files are read anew each time, arrays are in memory.
            if name.startswith("DataLoader") and name.endswith(
                "files" if where == "streaming" else "memory"
            ):
                rows.append(Row.of(f"{shape}, {where}: our reader / DataLoader", ratios(own, of)))
    return rows


def _write_arrays(records_dir: str, path: str) -> None:
    """The images of the records as one npz, for readers of arrays."""
    if os.path.exists(path):
        return
    from trainer.data.pipeline import batches_in_order
    from trainer.data.tfrecord import read_manifest

    batches = list(batches_in_order(records_dir, read_manifest(records_dir)).as_numpy_iterator())
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.savez(path, images=images, labels=labels)
