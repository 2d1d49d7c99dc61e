"""A cluster on this machine, for the tests of the backend gke."""

import contextlib
from collections.abc import Iterator
from typing import Any

from kubernetes import client

from launch.gke import Gke
from tests.helpers.loopback import Answer, Loopback

JOBS = "/apis/batch/v1/namespaces/default/jobs"
JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets"
PODS = "/api/v1/namespaces/default/pods"
# What a cluster answers for a kind that it does not know.
UNKNOWN_KIND = Answer("404 page not found\n", 404)


def refusal(code: int, message: str) -> Answer:
    """An error as Kubernetes writes it."""
    body = {"kind": "Status", "status": "Failure", "code": code, "message": message}
    return Answer(body, code)


NOT_FOUND = refusal(404, 'jobs.batch "mnist" not found')


@contextlib.contextmanager
def empty_cluster() -> Iterator[Loopback]:
    """A cluster with no job, which takes any."""
    with Loopback() as server:
        for kind in (JOBS, JOBSETS):
            for name in ("mnist", "pair"):
                server.on("GET", f"{kind}/{name}", NOT_FOUND)
            server.on("POST", kind, {})
        server.on("GET", JOBS, {"items": []})
        server.on("GET", JOBSETS, {"items": []})
        server.on("GET", PODS, {"items": []})
        yield server


def gke_of(cluster: Loopback, namespace: str = "default", **options: Any) -> Gke:
    """The backend with its real client, which talks to that cluster."""
    configuration = client.Configuration()
    configuration.host = cluster.url
    # A cut connection is otherwise tried three times more.
    configuration.retries = False
    return Gke(namespace, api=client.ApiClient(configuration), poll_seconds=0.01, **options)
