"""The graph of 2015 cannot come along: a small one of the same names takes its place."""

import hashlib
import io
import tarfile
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from trainer.errors import UserError
from trainer.evaluation import inception as module
from trainer.evaluation.features import Extractor, load_extractor
from trainer.evaluation.inception import FILE_NAME, inception
from trainer.evaluation.statistics import frechet_distance, moments

SIDE, FEATURES, CLASSES = 9, 6, 4
v1 = tf.compat.v1


def old_batch_norm(definition: Any, name: str, inputs: str, channels: int) -> None:
    """Adds the operation that later versions of graphs may not have."""
    node = definition.node.add(name=name, op="BatchNormWithGlobalNormalization")
    node.input.append(inputs)
    for part in ("mean", "variance", "offset", "scale"):
        value = np.arange(1, channels + 1, dtype=np.float32)
        constant = definition.node.add(name=f"{name}/{part}", op="Const")
        constant.attr["dtype"].type = constant.attr["value"].tensor.dtype = 1
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        node.input.append(constant.name)
    node.attr["T"].type, node.attr["variance_epsilon"].f = 1, 0.001
    node.attr["scale_after_normalization"].b = False


@pytest.fixture(scope="module")
def graph() -> bytes:
    """From `ExpandDims:0` over a resize inside to `pool_3:0` and the logits, for one image."""
    random = np.random.default_rng(0)
    with v1.Graph().as_default() as built:
        image = v1.placeholder(tf.float32, [1, None, None, 3], name="ExpandDims")
        resized = v1.image.resize_bilinear(image, [SIDE, SIDE], name="ResizeBilinear")
        scaled = (resized - 128.0) / 128.0
        kernel = tf.constant(random.normal(size=(3, 3, 3, FEATURES)), tf.float32)
        hidden = v1.nn.conv2d(scaled, kernel, [1, 2, 2, 1], "VALID", name="conv")
        pooled = v1.nn.avg_pool(hidden, [1, 4, 4, 1], [1, 1, 1, 1], "VALID", name="pool_3")
        flat = v1.reshape(pooled, [1, FEATURES], name="pool_3/_reshape")
        weights = tf.constant(random.normal(size=(FEATURES, CLASSES)), tf.float32)
        tf.matmul(flat, weights, name="softmax/logits/MatMul")
    definition = built.as_graph_def()
    old_batch_norm(definition, "norm", "conv", FEATURES)
    next(node for node in definition.node if node.name == "pool_3").input[0] = "norm"
    definition.versions.producer = 8
    definition.ClearField("library")
    return definition.SerializeToString()


@pytest.fixture
def cache(graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, with the graph."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "dcgan-trainer"
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(graph)
    return folder


def one_by_one(graph: bytes, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits as the graph itself gives them, an image at a time."""
    with v1.Graph().as_default() as built:
        v1.import_graph_def(v1.GraphDef.FromString(graph), name="")
        names = ["pool_3/_reshape:0", "softmax/logits/MatMul:0"]
        with v1.Session(graph=built) as session:
            each = [
                session.run(names, {"ExpandDims:0": image[None].astype(np.float32)})
                for image in images
            ]
    features, logits = (np.concatenate(part) for part in zip(*each, strict=True))
    return features, logits


def test_features_and_distance_are_those_of_the_reference(graph: bytes, cache: Path) -> None:
    random = np.random.default_rng(1)
    extractor = load_extractor("inception", "nowhere", (7, 7, 3))
    assert extractor.name == f"inception6_{hashlib.sha256(graph).hexdigest()[:8]}"
    sets = random.integers(0, 256, (2, 70, 7, 7, 3), dtype=np.uint8)
    found = [extractor(images) for images in sets]
    expected = [one_by_one(graph, images) for images in sets]
    for one, (features, logits) in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.values, features, rtol=1e-5, atol=1e-5)
        exponentials = np.exp(logits)
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(one.probabilities, shares, rtol=1e-4, atol=1e-6)
    # The formula of the paper, by the root of the product.
    (mean, other_mean), (covariance, other_covariance) = (
        [one.values.mean(axis=0) for one in found],
        [np.cov(one.values, rowvar=False) for one in found],
    )
    root = scipy.linalg.sqrtm(covariance @ other_covariance)
    by_paper = np.sum((mean - other_mean) ** 2) + np.trace(covariance + other_covariance - 2 * root)
    distance = frechet_distance(*(moments(one.values) for one in found))
    assert distance == pytest.approx(by_paper.real, rel=1e-10)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(channels: int, cache: Path) -> None:
    """Grey is repeated, and a fourth channel left out."""
    images = np.random.default_rng(2).integers(0, 256, (5, 7, 7, channels), dtype=np.uint8)
    colors = images.repeat(3, axis=3) if channels == 1 else images[..., :3]
    content_hash, network = inception()
    found = Extractor((7, 7, channels), "inception", content_hash, network)(images)
    expected = Extractor((7, 7, 3), "inception", content_hash, network)(colors)
    np.testing.assert_array_equal(found.values, expected.values)


def archive(content: bytes) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as members:
        member = tarfile.TarInfo(FILE_NAME)
        member.size = len(content)
        members.addfile(member, io.BytesIO(content))
    return io.BytesIO(buffer.getvalue())


def test_it_is_fetched_once_and_checked(
    graph: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fetched = []

    def urlopen(url: str, timeout: float) -> Any:
        fetched.append(url)
        response: Any = archive(graph)
        response.headers = {}
        return response

    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    first, _ = inception(str(tmp_path / "new"))
    again, _ = inception(str(tmp_path / "new"))
    assert first == again and fetched == [module.URL]
    assert "Fetching the Inception network" in capsys.readouterr().out
    path = tmp_path / "new" / FILE_NAME
    path.write_bytes(graph[:-1])
    with pytest.raises(UserError, match="damaged or another file"):
        inception(str(tmp_path / "new"))


def test_without_a_network_the_mend_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def urlopen(url: str, timeout: float) -> Any:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    with pytest.raises(UserError, match=rf"no route.*put {FILE_NAME}.*at {tmp_path}"):
        inception(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="is not the graph of 2015"):
        inception(str(tmp_path))
