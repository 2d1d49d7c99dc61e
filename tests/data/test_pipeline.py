import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import make_strategy_of
from tests.helpers.damage import flip_a_bit
from trainer.data import tfrecord
from trainer.data.pipeline import fits_in_memory, replica_batches
from trainer.data.tfrecord import Manifest
from trainer.errors import UserError

Records = tuple[str, Manifest]  # the folder, what it holds
NUM_IMAGES = 53  # a prime: no batch divides it
BATCH = 8
IN_MEMORY, STREAMING = 1, 0  # MiB

both_ways = pytest.mark.parametrize("budget", [IN_MEMORY, STREAMING], ids=["memory", "streaming"])


def written(folder: Path, images: list[np.ndarray], shards: int) -> Records:
    """Records of images, each labelled with its number."""
    with tfrecord.ShardWriter(str(folder), shards) as writer:
        for i, image in enumerate(images):
            writer.write(tfrecord.serialize(image, i, "raw"))
        manifest = Manifest(1, "npz:numbers.npz", images[0].shape, "raw", (), writer.commit())
    tfrecord.write_manifest(str(folder), manifest)
    return str(folder), manifest


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Images of 2x2 pixels that all show their own number, which is their label too."""
    images = [np.full([2, 2, 1], i, np.uint8) for i in range(NUM_IMAGES)]
    return written(tmp_path_factory.mktemp("records"), images, shards=3)


def batches(records: Records, **changes: int) -> tf.data.Dataset:
    options = dict(seed=3, start_step=0, global_batch_size=BATCH, num_replicas=1, first_replica=0)
    options |= dict(local_replicas=1, memory_budget_mib=IN_MEMORY, shuffle_buffer_images=20)
    return replica_batches(*records, **(options | changes))


def numbers(
    records: Records, budget: int, steps: int, local_replicas: int = 1, **changes: int
) -> np.ndarray:
    """The numbers shown by the images, [steps, local_replicas, images of a replica]."""
    changes |= {"local_replicas": local_replicas, "memory_budget_mib": budget}
    taken = batches(records, **changes).take(steps * local_replicas).as_numpy_iterator()
    images, labels = (np.stack(parts) for parts in zip(*taken, strict=True))
    assert images.dtype == np.uint8
    assert images.shape[1:] == (BATCH // changes.get("num_replicas", 1), 2, 2, 1)
    assert (images == images[:, :, :1, :1]).all()
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, images[:, :, 0, 0, 0])
    return images[:, :, 0, 0, 0].reshape(steps, local_replicas, -1)


@both_ways
def test_every_epoch_holds_every_image_once(records: Records, budget: int) -> None:
    epochs = 8
    row = numbers(records, budget, steps=-(-epochs * NUM_IMAGES // BATCH)).ravel()
    orders = row[: epochs * NUM_IMAGES].reshape(epochs, NUM_IMAGES)
    for order in orders:
        assert set(order) == set(range(NUM_IMAGES))
    assert len({tuple(order) for order in orders}) == epochs


@both_ways
def test_seeds_give_different_orders(records: Records, budget: int) -> None:
    first, second = (numbers(records, budget, steps=6, seed=seed).ravel() for seed in (0, 1))
    assert np.mean(first == second) < 0.2


def test_orders_of_neighbouring_epochs_and_seeds_are_unrelated(tmp_path: Path) -> None:
    # Places of an image in two unrelated orders are N / 3 apart, on average.
    # tf.random.experimental.index_shuffle puts them much nearer, but only in a
    # set so large that an image has to show its number in two pixels.
    count = 20_000
    pixels = [np.array(divmod(i, 256), np.uint8).reshape(1, 2, 1) for i in range(count)]
    records = written(tmp_path, pixels, shards=1)

    def order(seed: int, epoch: int) -> np.ndarray:
        epochs = batches(records, seed=seed, start_step=epoch, global_batch_size=count)
        shown = next(epochs.take(1).as_numpy_iterator())[0].reshape(count, 2).astype(int)
        return shown @ [256, 1]

    first = order(seed=0, epoch=0)
    for other in (order(seed=0, epoch=1), order(seed=1, epoch=0), np.arange(count)):
        assert np.mean(abs(first - other)) == pytest.approx(count / 3, rel=0.03)


@both_ways
@pytest.mark.parametrize("start_step", [1, 6, 7, 30])
def test_a_step_is_the_same_in_any_run(records: Records, budget: int, start_step: int) -> None:
    whole = numbers(records, budget, steps=40)
    resumed = numbers(records, budget, steps=40 - start_step, start_step=start_step)
    np.testing.assert_array_equal(resumed, whole[start_step:])


@both_ways
@pytest.mark.parametrize("num_replicas", [2, 4])
def test_replicas_share_a_global_batch(records: Records, budget: int, num_replicas: int) -> None:
    alone = numbers(records, budget, steps=15)
    shared = numbers(records, budget, 15, num_replicas=num_replicas, local_replicas=num_replicas)
    np.testing.assert_array_equal(shared.reshape(alone.shape), alone)


@both_ways
def test_workers_share_a_global_batch(records: Records, budget: int) -> None:
    alone = numbers(records, budget, steps=15, start_step=2)
    shares = {"steps": 15, "start_step": 2, "num_replicas": 4, "local_replicas": 2}
    workers = [numbers(records, budget, first_replica=first, **shares) for first in (0, 2)]
    np.testing.assert_array_equal(np.concatenate(workers, axis=1).reshape(alone.shape), alone)


@both_ways
def test_the_global_seed_changes_nothing(records: Records, budget: int) -> None:
    found = []
    for global_seed in (0, 1):
        tf.random.set_seed(global_seed)
        found.append(numbers(records, budget, steps=10))
    np.testing.assert_array_equal(*found)


@both_ways
def test_a_mirrored_strategy_hands_each_replica_its_rows(records: Records, budget: int) -> None:
    strategy = make_strategy_of(2)
    changes = {"num_replicas": 2, "local_replicas": 2, "memory_budget_mib": budget}
    of_both = strategy.distribute_datasets_from_function(lambda _: batches(records, **changes))
    rows = [
        [replica[:, 0, 0, 0] for replica in images.values]
        for images, _ in itertools.islice(of_both, 9)
    ]
    np.testing.assert_array_equal(
        np.reshape(rows, (9, 1, BATCH)), numbers(records, budget, steps=9)
    )


@pytest.mark.parametrize(
    ("mib", "fits"), [(0, False), (2, False), (3, True)]
)  # 1000 images of 28x28x3 are 2.24 MiB
def test_memory_budget_counts_pixels(mib: int, fits: bool) -> None:
    shard = tfrecord.Shard("shard", 1000, 1, "")
    assert fits_in_memory(Manifest(1, "s", (28, 28, 3), "raw", (), (shard,)), mib) is fits


def test_a_batch_larger_than_the_set(records: Records) -> None:
    message = "has 53 images, fewer than a batch of 54: lower --config.train.global_batch_size"
    with pytest.raises(UserError, match=message):
        batches(records, global_batch_size=54)


@both_ways
def test_a_damaged_record_is_not_passed_on(records: Records, budget: int, tmp_path: Path) -> None:
    folder, manifest = records
    for shard in manifest.shards:
        flip_a_bit(Path(shutil.copy(Path(folder, shard.file), tmp_path)))
    with pytest.raises(tf.errors.DataLossError):
        numbers((str(tmp_path), manifest), budget, steps=7)
