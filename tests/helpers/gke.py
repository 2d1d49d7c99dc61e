"""What a Kubernetes cluster says, for the tests of the backend gke."""

from typing import Any

from kubernetes import client

from launch.gke import Gke
from tests.helpers.jobs import IMAGE
from tests.helpers.loopback import Answer, Loopback

JOBS = "/apis/batch/v1/namespaces/default/jobs"
JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets"
PODS = "/api/v1/namespaces/default/pods"
OWN_LABELS = {"app.kubernetes.io/managed-by": "dcgan-trainer"}
# What a cluster answers for a kind that it does not know.
UNKNOWN_KIND = Answer("404 page not found\n", 404)


def refusal(code: int, message: str) -> Answer:
    """An error as Kubernetes writes it."""
    body = {"kind": "Status", "status": "Failure", "code": code, "message": message}
    return Answer(body, code)


NOT_FOUND = refusal(404, 'jobs.batch "mnist" not found')


def gke_of(cluster: Loopback, namespace: str = "default", **options: Any) -> Gke:
    """The backend with its real client, which talks to that cluster."""
    configuration = client.Configuration()
    configuration.host = cluster.url
    # A cut connection is otherwise tried three times more.
    configuration.retries = False
    return Gke(namespace, api=client.ApiClient(configuration), poll_seconds=0.01, **options)


def job_object(**status: Any) -> dict[str, Any]:
    """A Job as a cluster sends it."""
    return _object("batch/v1", "Job", "mnist", "2026-11-24T02:00:00Z", status)


def jobset_object(**status: Any) -> dict[str, Any]:
    """A JobSet as a cluster sends it, made a minute later."""
    return _object("jobset.x-k8s.io/v1alpha2", "JobSet", "pair", "2026-11-24T02:01:00Z", status)


def _object(
    version: str, kind: str, name: str, created: str, status: dict[str, Any]
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": created}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {**metadata, "labels": dict(OWN_LABELS)},
        "status": status,
    }


def condition(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    """A condition that holds."""
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def pod(
    phase: str, *, of: str = "mnist", index: int | None = None, uid: str = "a", **status: Any
) -> dict[str, Any]:
    """A pod as a cluster sends it."""
    annotations = {} if index is None else {"batch.kubernetes.io/job-completion-index": str(index)}
    return {
        "metadata": {
            "name": f"{of}-{uid}",
            "namespace": "default",
            "uid": uid,
            "creationTimestamp": "2026-11-24T02:00:05Z",
            "labels": {**OWN_LABELS, "app.kubernetes.io/instance": of},
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "trainer", "image": IMAGE}]},
        "status": {"phase": phase, **status},
    }
