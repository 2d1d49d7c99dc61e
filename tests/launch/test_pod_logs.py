import pytest

from launch.errors import ServiceError
from tests.helpers.gke import (
    JOBS,
    JOBSETS,
    NOT_FOUND,
    PODS,
    condition,
    gke_of,
    job_object,
    jobset_object,
    pod,
    refusal,
)
from tests.helpers.loopback import Answer, Loopback


def test_logs_of_one_worker_are_its_pods_oldest_first(cluster: Loopback) -> None:
    again = pod("Running", uid="b")
    again["metadata"]["creationTimestamp"] = "2026-11-24T02:30:00Z"
    cluster.on("GET", f"{JOBS}/mnist", job_object())
    cluster.on("GET", PODS, {"items": [again, pod("Failed", uid="a")]})
    cluster.on("GET", f"{PODS}/mnist-a/log", Answer("step 1\nstep 2\n"))
    cluster.on("GET", f"{PODS}/mnist-b/log", Answer("step 2\r\nstep 3"))
    assert list(gke_of(cluster).logs("mnist", follow=False)) == [
        *("step 1", "step 2"),
        *("step 2", "step 3"),
    ]
    (request,) = cluster.received("GET", f"{PODS}/mnist-a/log")
    # Older clients write False.
    assert (request.query["container"], request.query["follow"].lower()) == ("trainer", "false")


def test_logs_of_several_workers_name_them(cluster: Loopback) -> None:
    pods = [pod("Running", of="pair", index=index, uid=f"u{index}") for index in (10, 2)]
    starting = pod("Pending", of="pair", index=11, uid="u11")
    cluster.on("GET", f"{JOBSETS}/pair", jobset_object())
    cluster.on("GET", PODS, {"items": [*pods, starting]})
    for index in (2, 10):
        cluster.on("GET", f"{PODS}/pair-u{index}/log", Answer(f"I am {index}\n"))
    cluster.on("GET", f"{PODS}/pair-u11/log", refusal(400, "container is waiting to start"))
    lines = list(gke_of(cluster).logs("pair", follow=False))
    assert lines == ["[worker 2] I am 2", "[worker 10] I am 10"]


def test_logs_follow_into_the_pods_of_a_new_start_until_the_job_ends(cluster: Loopback) -> None:
    running, done = job_object(), job_object(conditions=[condition("Complete")])
    cluster.on("GET", f"{JOBS}/mnist", running, running, running, done)
    first, second = pod("Failed", uid="a"), pod("Running", uid="b")
    waiting = {"items": [pod("Pending", uid="a")]}
    cluster.on("GET", PODS, waiting, {"items": [first]}, {"items": [first, second]})
    cluster.on("GET", f"{PODS}/mnist-a/log", Answer("preempted\n"))
    cluster.on("GET", f"{PODS}/mnist-b/log", Answer("resumed\ndone\n"))
    lines = list(gke_of(cluster).logs("mnist", follow=True))
    assert lines == ["preempted", "resumed", "done"]
    (request,) = cluster.received("GET", f"{PODS}/mnist-b/log")
    assert (request.query["container"], request.query["follow"].lower()) == ("trainer", "true")


def test_logs_follow_ends_when_a_cancelled_job_is_gone(cluster: Loopback) -> None:
    cluster.on("GET", f"{JOBS}/mnist", job_object(), job_object(), NOT_FOUND)
    cluster.on("GET", PODS, {"items": [pod("Running")]}, {"items": []})
    cluster.on("GET", f"{PODS}/mnist-a/log", Answer("saved\n"))
    assert list(gke_of(cluster).logs("mnist", follow=True)) == ["saved"]


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_that_is_cut_is_named(cluster: Loopback, follow: bool) -> None:
    cluster.on("GET", f"{JOBS}/mnist", job_object())
    cluster.on("GET", PODS, {"items": [pod("Running")]})
    cluster.on("GET", f"{PODS}/mnist-a/log", Answer("step 1\nstep 2\nstep 3\n", cut="within"))
    with pytest.raises(ServiceError, match="reading the log of job mnist: no connection"):
        list(gke_of(cluster).logs("mnist", follow))
