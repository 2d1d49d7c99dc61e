"""Clouds on this machine, to which the backends' real clients talk."""

from collections.abc import Callable, Iterator

import pytest
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launch.tpu_vm import TpuVm
from tests.helpers.gke import JOBS, JOBSETS, NOT_FOUND, PODS
from tests.helpers.loopback import Loopback
from tests.helpers.tpu_api import Bucket, TpuApi


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


@pytest.fixture
def cluster(server: Loopback) -> Loopback:
    """A Kubernetes cluster with no job, which takes any."""
    for kind in (JOBS, JOBSETS):
        for name in ("mnist", "pair"):
            server.on("GET", f"{kind}/{name}", NOT_FOUND)
        server.on("POST", kind, {})
        server.on("GET", kind, {"items": []})
    server.on("GET", PODS, {"items": []})
    return server


@pytest.fixture
def api() -> Iterator[TpuApi]:
    with TpuApi() as api:
        yield api


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as bucket:
        yield bucket


class Clock:
    """Lets something happen in place of each wait."""

    def __init__(self) -> None:
        self.events: list[Callable[[], object]] = []

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        assert self.events, "waits for something that does not come"
        self.events.pop(0)()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tpu_vm(api: TpuApi, bucket: Bucket, clock: Clock) -> TpuVm:
    options = {"api_endpoint": bucket.url}
    files = storage.Client("my-project", AnonymousCredentials(), client_options=options)
    clients = {"client": api.client, "storage_client": files}
    return TpuVm("my-project", "us-west4-a", **clients, sleep=clock.sleep)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vertex AI is not asked again for a minute."""
    monkeypatch.setattr("launch.vertex._RETRY", Retry(initial=0.001, maximum=0.001, timeout=0.05))
