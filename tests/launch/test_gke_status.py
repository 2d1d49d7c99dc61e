from typing import Any

import pytest

from launch.backend import JobState
from tests.helpers.gke import JOBS, JOBSETS, PODS, condition, gke_of, job_object, jobset_object, pod
from tests.helpers.loopback import Loopback

_NO_NODE = condition("PodScheduled", "Unschedulable", "no nodes") | {"status": "False"}
_UNSCHEDULABLE = {"conditions": [_NO_NODE]}
_CONTAINER = {"name": "trainer", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
_WITHOUT_IMAGE = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
_NO_IMAGE = {"containerStatuses": [_CONTAINER | {"state": _WITHOUT_IMAGE}]}


def _with(*conditions: tuple[str, str, str]) -> dict[str, Any]:
    return {"conditions": [condition(*each) for each in conditions]}


def _pair(*phases: str, **status: Any) -> list[dict[str, Any]]:
    """The pods of a JobSet, of which the last has a status."""
    last = len(phases) - 1
    return [
        pod(phase, of="pair", index=index, **(status if index == last else {}))
        for index, phase in enumerate(phases)
    ]


_MET_AND_COMPLETE = (("SuccessCriteriaMet", "AllThere", ""), ("Complete", "AllThere", ""))
_JOB_STATES = [
    ({}, [], "waiting", "no pod yet"),
    ({"active": 1}, [pod("Pending", **_UNSCHEDULABLE)], "waiting", "Unschedulable: no nodes"),
    ({"active": 1}, [pod("Pending", **_NO_IMAGE)], "waiting", "ImagePullBackOff: not found"),
    ({"active": 1}, [pod("Pending")], "waiting", "Pending"),
    (_with(("Suspended", "JobSuspended", "asleep")), [], "waiting", "JobSuspended: asleep"),
    ({"active": 1}, [pod("Running")], "running", "1 pod(s) running"),
    (
        {"active": 1, "failed": 2},
        [pod("Failed"), pod("Running", uid="b")],
        "running",
        "1 pod(s) running; 2 pod(s) failed before",
    ),
    (_with(*_MET_AND_COMPLETE), [pod("Succeeded")], "succeeded", "AllThere"),
    (_with(("Failed", "DeadlineExceeded", "too long")), [], "failed", "DeadlineExceeded: too long"),
    # The pods are still ending.
    (_with(("FailureTarget", "Limit", "")), [pod("Running")], "running", "1 pod(s) running"),
]
_JOBSET_STATES = [
    ({}, [], "waiting", "no pod yet"),
    (
        {"restarts": 1},
        _pair("Running", "Pending", **_NO_IMAGE),
        "waiting",
        "ImagePullBackOff: not found; started again 1 time(s)",
    ),
    ({"restarts": 0}, _pair("Running", "Running"), "running", "2 pod(s) running"),
    (_with(("Suspended", "SuspendedJobs", "asleep")), [], "waiting", "SuspendedJobs: asleep"),
    (_with(("Completed", "AllDone", "all jobs")), [], "succeeded", "AllDone: all jobs"),
    (_with(("Failed", "MaxRestarts", "3 restarts")), [], "failed", "MaxRestarts: 3 restarts"),
]


@pytest.mark.parametrize(
    "name, status, pods, state, detail",
    [("mnist", *case) for case in _JOB_STATES] + [("pair", *case) for case in _JOBSET_STATES],
)
def test_status(
    cluster: Loopback,
    name: str,
    status: dict[str, Any],
    pods: list[dict[str, Any]],
    state: str,
    detail: str,
) -> None:
    if name == "mnist":
        cluster.on("GET", f"{JOBS}/mnist", job_object(**status))
    else:
        cluster.on("GET", f"{JOBSETS}/pair", jobset_object(**status))
    cluster.on("GET", PODS, {"items": pods})
    found = gke_of(cluster).status(name)
    assert (found.job_id, found.state, found.detail) == (name, JobState(state), detail)
    minute = "00" if name == "mnist" else "01"
    assert found.created == f"2026-11-24T02:{minute}:00+00:00"
    (request,) = cluster.received("GET", PODS)
    labels = f"app.kubernetes.io/managed-by=dcgan-trainer,app.kubernetes.io/instance={name}"
    assert request.query == {"labelSelector": labels}


def test_status_says_that_a_cancelled_job_still_saves(cluster: Loopback) -> None:
    found = job_object(active=1)
    found["metadata"]["deletionTimestamp"] = "2026-11-24T03:00:00Z"
    cluster.on("GET", f"{JOBS}/mnist", found)
    cluster.on("GET", PODS, {"items": [pod("Running")]})
    status = gke_of(cluster).status("mnist")
    assert (status.state, status.detail) == (JobState.RUNNING, "cancelled; its pods save and end")
