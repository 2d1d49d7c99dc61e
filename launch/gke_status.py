"""Where a Job or JobSet stands, from what the cluster says of it and of its pods."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kubernetes.client import V1Pod

from launch.backend import JobState, JobStatus

# Conditions of a Job and of a JobSet.
_ENDS = {
    "Complete": JobState.SUCCEEDED,
    "Completed": JobState.SUCCEEDED,
    "Failed": JobState.FAILED,
}


def status_of(found: dict[str, Any], pods: Sequence[V1Pod]) -> JobStatus:
    """The status of a Job or JobSet, as the cluster sends it, and of its pods."""
    metadata = found["metadata"]
    state, detail = _state(found, pods)
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    return JobStatus(metadata["name"], state, detail, created.isoformat(timespec="seconds"))


def _state(found: dict[str, Any], pods: Sequence[V1Pod]) -> tuple[JobState, str]:
    status = found.get("status") or {}
    holding = {
        condition["type"]: condition
        for condition in status.get("conditions") or []
        if condition["status"] == "True"
    }
    for name, state in _ENDS.items():
        if name in holding:
            return state, _reason(holding[name])
    if found["metadata"].get("deletionTimestamp"):
        return JobState.RUNNING, "cancelled; its pods save and end"
    if "Suspended" in holding:
        return JobState.WAITING, _reason(holding["Suspended"])
    state, detail = _state_of_pods(pods)
    if restarts := status.get("restarts"):
        detail += f"; started again {restarts} time(s)"
    if failed := status.get("failed"):
        detail += f"; {failed} pod(s) failed before"
    return state, detail


def _state_of_pods(pods: Sequence[V1Pod]) -> tuple[JobState, str]:
    # Workers start training together, so one that waits is all that counts.
    for pod in pods:
        if pod.status.phase == "Pending":
            return JobState.WAITING, _why_pending(pod)
    running = sum(pod.status.phase == "Running" for pod in pods)
    if not running:
        return JobState.WAITING, "no pod yet"
    return JobState.RUNNING, f"{running} pod(s) running"


def _why_pending(pod: V1Pod) -> str:
    for container in pod.status.container_statuses or []:
        if container.state and container.state.waiting:
            return _reason(container.state.waiting.to_dict())
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return _reason(condition.to_dict())
    return "Pending"


def _reason(source: dict[str, Any]) -> str:
    return ": ".join(source[key] for key in ("reason", "message") if source.get(key))
