from collections.abc import Iterator
from typing import Any

import pytest

from launch.backend import JobState
from tests.helpers.gke_cluster import JOBS, JOBSETS, PODS, empty_cluster, gke_of
from tests.helpers.gke_jobs import condition, job_object, jobset_object, pod
from tests.helpers.loopback import Loopback


@pytest.fixture
def cluster() -> Iterator[Loopback]:
    with empty_cluster() as server:
        yield server


_UNSCHEDULABLE = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient google.com/tpu.",
        }
    ]
}
_NO_IMAGE = {
    "containerStatuses": [
        {
            "name": "trainer",
            "image": "i",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
        }
    ]
}


@pytest.mark.parametrize(
    "status, pods, state, detail",
    [
        ({}, [], JobState.WAITING, "no pod yet"),
        (
            {"active": 1},
            [pod("Pending", **_UNSCHEDULABLE)],
            JobState.WAITING,
            "Unschedulable: 0/3 nodes are available: 3 Insufficient google.com/tpu.",
        ),
        (
            {"active": 1},
            [pod("Pending", **_NO_IMAGE)],
            JobState.WAITING,
            "ImagePullBackOff: not found",
        ),
        ({"active": 1}, [pod("Pending")], JobState.WAITING, "Pending"),
        (
            {"conditions": [condition("Suspended", "JobSuspended", "Job suspended")]},
            [],
            JobState.WAITING,
            "JobSuspended: Job suspended",
        ),
        ({"active": 1}, [pod("Running")], JobState.RUNNING, "1 pod(s) running"),
        (
            {"active": 1, "failed": 2},
            [pod("Failed"), pod("Running", uid="b")],
            JobState.RUNNING,
            "1 pod(s) running; 2 pod(s) failed before",
        ),
        (
            {
                "conditions": [
                    condition("SuccessCriteriaMet", "CompletionsReached"),
                    condition("Complete", "CompletionsReached"),
                ]
            },
            [pod("Succeeded")],
            JobState.SUCCEEDED,
            "CompletionsReached",
        ),
        (
            {"conditions": [condition("Failed", "DeadlineExceeded", "Job was active too long")]},
            [],
            JobState.FAILED,
            "DeadlineExceeded: Job was active too long",
        ),
        (
            # The pods are still ending.
            {"conditions": [condition("FailureTarget", "BackoffLimitExceeded")]},
            [pod("Running")],
            JobState.RUNNING,
            "1 pod(s) running",
        ),
    ],
)
def test_status_of_a_job(
    cluster: Loopback,
    status: dict[str, Any],
    pods: list[dict[str, Any]],
    state: JobState,
    detail: str,
) -> None:
    cluster.on("GET", f"{JOBS}/mnist", job_object(**status))
    cluster.on("GET", PODS, {"items": pods})

    found = gke_of(cluster).status("mnist")

    assert (found.job_id, found.state, found.detail) == ("mnist", state, detail)
    assert found.created == "2026-11-24T02:00:00+00:00"
    (request,) = cluster.received("GET", PODS)
    labels = "app.kubernetes.io/managed-by=dcgan-trainer,app.kubernetes.io/instance=mnist"
    assert request.query == {"labelSelector": labels}


@pytest.mark.parametrize(
    "status, pods, state, detail",
    [
        ({}, [], JobState.WAITING, "no pod yet"),
        (
            {"restarts": 1},
            [pod("Running", of="pair", index=0), pod("Pending", of="pair", index=1, **_NO_IMAGE)],
            JobState.WAITING,
            "ImagePullBackOff: not found; started again 1 time(s)",
        ),
        (
            {"restarts": 0},
            [pod("Running", of="pair", index=0), pod("Running", of="pair", index=1)],
            JobState.RUNNING,
            "2 pod(s) running",
        ),
        (
            {"conditions": [condition("Suspended", "SuspendedJobs", "jobset is suspended")]},
            [],
            JobState.WAITING,
            "SuspendedJobs: jobset is suspended",
        ),
        (
            {"conditions": [condition("Completed", "AllJobsCompleted", "all jobs completed")]},
            [],
            JobState.SUCCEEDED,
            "AllJobsCompleted: all jobs completed",
        ),
        (
            {"conditions": [condition("Failed", "ReachedMaxRestarts", "3 restarts")]},
            [],
            JobState.FAILED,
            "ReachedMaxRestarts: 3 restarts",
        ),
    ],
)
def test_status_of_a_jobset(
    cluster: Loopback,
    status: dict[str, Any],
    pods: list[dict[str, Any]],
    state: JobState,
    detail: str,
) -> None:
    cluster.on("GET", f"{JOBSETS}/pair", jobset_object(**status))
    cluster.on("GET", PODS, {"items": pods})
    found = gke_of(cluster).status("pair")
    assert (found.job_id, found.state, found.detail) == ("pair", state, detail)
    assert found.created == "2026-11-24T02:01:00+00:00"


def test_status_says_that_a_cancelled_job_still_saves(cluster: Loopback) -> None:
    found = job_object(active=1)
    found["metadata"]["deletionTimestamp"] = "2026-11-24T03:00:00Z"
    cluster.on("GET", f"{JOBS}/mnist", found)
    cluster.on("GET", PODS, {"items": [pod("Running")]})
    status = gke_of(cluster).status("mnist")
    assert (status.state, status.detail) == (JobState.RUNNING, "cancelled; its pods save and end")
