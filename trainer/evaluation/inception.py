"""The network of the Frechet Inception Distance, so that figures compare with those of papers.

Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
Equilibrium": the Inception graph that TensorFlow published in 2015, which resizes its input to
299x299 itself, and its layer `pool_3`. Logits are without the biases, as in Salimans et al. 2016.

The file is fetched once and kept. No published checksum of it was found: its sha256 is noted when
it first comes, checked each time, and part of the names of the measures, so that figures of another
file never pass for the same.
"""

import hashlib
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
from typing import IO

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tqdm import tqdm

from trainer.errors import UserError
from trainer.evaluation.custom_model import Network
from trainer.storage.files import write_bytes

URL = (
    "https://storage.googleapis.com/download.tensorflow.org/models/image/imagenet/"
    "inception-2015-12-05.tgz"
)
FILE_NAME = "classify_image_graph_def.pb"
_NOTE = f"{FILE_NAME}.sha256"

_INPUT, _FEATURES, _LOGITS = "ExpandDims:0", "pool_3:0", "softmax/logits/MatMul"
_TIMEOUT_SECONDS = 30
_READ_BYTES = 2**20

v1 = tf.compat.v1


def inception(folder: str | None = None) -> tuple[str, Network]:
    """The network, fetched where it is not in `folder`, which left out is the user's cache.

    Returns:
        The first 8 hex digits of the file's sha256, and the network: from uint8 [B, H, W, 1, 3 or
        4] to features [B, 2048] and logits [B, 1008], float32. A fourth channel is left out.

    Raises:
        UserError: it cannot be fetched, or is not what was noted.
        DiskError: the disk refuses to keep it.
    """
    content, digest = _content(folder or _cache_folder())
    return digest[:8], _network(content)


def _cache_folder() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "dcgan-trainer")


def _content(folder: str) -> tuple[bytes, str]:
    """The file, from the folder or the network, and its sha256, which is the noted one."""
    path, note = os.path.join(folder, FILE_NAME), os.path.join(folder, _NOTE)
    if not os.path.exists(path):
        content = _fetched(path)
        os.makedirs(folder, exist_ok=True)
        write_bytes(path, content)
        digest = hashlib.sha256(content).hexdigest()
        write_bytes(note, digest.encode())
        return content, digest
    with open(path, "rb") as file:
        content = file.read()
    found = hashlib.sha256(content).hexdigest()
    if not os.path.exists(note):  # put there by hand
        write_bytes(note, found.encode())
    with open(note) as noted:
        if (expected := noted.read().strip()) != found:
            raise UserError(
                f"{path} has the sha256 {found}, and {expected} was noted when it came: it is "
                f"damaged or another file. Delete it and {note}, and give the command again."
            )
    return content, found


def _fetched(path: str) -> bytes:
    """The file out of the archive at `URL`."""
    print(f"Fetching the Inception network, 85 MB, from {URL} to {path} ...", flush=True)
    try:
        with tempfile.TemporaryFile() as archive:
            with urllib.request.urlopen(URL, timeout=_TIMEOUT_SECONDS) as response:
                _copy(response, archive, int(response.headers.get("Content-Length") or 0))
            archive.seek(0)
            with tarfile.open(fileobj=archive, mode="r:gz") as members:
                member = members.extractfile(FILE_NAME)
                assert member is not None, f"{FILE_NAME} is no file in {URL}"
                return member.read()
    except (urllib.error.URLError, TimeoutError, tarfile.TarError, EOFError, KeyError) as error:
        raise UserError(
            f"evaluation.extractor is inception, which cannot be fetched ({error}): give the "
            f"command again on a machine that reaches {URL}, or put {FILE_NAME} out of that "
            f"archive at {path}."
        ) from error


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    # disable=None: a bar on a terminal, nothing in a log file.
    with tqdm(total=size or None, unit="B", unit_scale=True, disable=None) as bar:
        while block := source.read(_READ_BYTES):
            target.write(block)
            bar.update(len(block))


def _network(content: bytes) -> Network:
    """The graph behind a function of TensorFlow 2.

    Raises:
        UserError: it is no such graph.
    """
    # A session of its own, since functions refuse operations of 2015 that graphs of their version
    # may still have.
    graph = v1.Graph()
    try:
        definition = v1.GraphDef.FromString(content)
        with graph.as_default():
            given = v1.placeholder(tf.float32, [None, None, None, 3])
            (pooled,) = v1.import_graph_def(
                definition, input_map={_INPUT: given}, return_elements=[_FEATURES], name="inception"
            )
            weights = graph.get_operation_by_name(f"inception/{_LOGITS}").inputs[1]
            features = tf.reshape(pooled, [-1, weights.shape[0]])
            logits = tf.matmul(features, weights)
    except (ValueError, KeyError, tf.errors.OpError, DecodeError) as error:
        raise UserError(f"{FILE_NAME} is not the graph of 2015: {error}") from error
    session = v1.Session(graph=graph)

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        colors = np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images[..., :3]
        return session.run((features, logits), {given: colors.astype(np.float32)})

    return lambda images: tf.numpy_function(run, [images], [tf.float32, tf.float32])
