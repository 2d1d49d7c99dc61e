from typing import Any

import pytest
import yaml

from launch.backend import JobState
from launch.errors import LaunchError, ServiceError
from launch.gke import Gke
from launch.job import JobSpec
from tests.helpers.gke import (
    JOBS,
    JOBSETS,
    NOT_FOUND,
    PODS,
    UNKNOWN_KIND,
    condition,
    gke_of,
    job_object,
    jobset_object,
    pod,
    refusal,
)
from tests.helpers.jobs import a_job, a_spot_job, golden
from tests.helpers.loopback import Answer, Loopback


def _in(namespace: str, path: str) -> str:
    return path.replace("/default/", f"/{namespace}/")


UNKNOWN_FIELD = refusal(400, 'strict decoding error: unknown field "spec.failurePolicy.rules"')
NO_NAMESPACE = refusal(404, 'namespaces "default" not found')
GPUS = {"queue": "gpus", "service_account": "trainer"}


@pytest.mark.parametrize(
    "spec, options, name",
    [
        (a_spot_job(), {}, "gke_job_tpu.yaml"),
        (a_job("l4-1", workers=2), GPUS, "gke_jobset_gpu.yaml"),
    ],
)
def test_submit_sends_and_render_prints_the_golden_request(
    cluster: Loopback, monkeypatch: pytest.MonkeyPatch, spec: JobSpec, options: Any, name: str
) -> None:
    kind = JOBS if spec.workers == 1 else JOBSETS
    path = _in("research", kind)
    cluster.on("GET", _in("research", f"{JOBS}/mnist"), NOT_FOUND)
    # A cluster need not know JobSets to run a Job.
    missing = UNKNOWN_KIND if kind == JOBS else NOT_FOUND
    cluster.on("GET", _in("research", f"{JOBSETS}/mnist"), missing)
    cluster.on("POST", path, {})
    assert gke_of(cluster, "research", **options).submit(spec) == "mnist"
    (request,) = cluster.received("POST", path)
    assert request.body == golden(name)
    assert request.query == {"fieldValidation": "Strict"}
    monkeypatch.delattr("launch.gke.connect")  # render needs no cluster
    assert yaml.safe_load(Gke("research", **options).render(spec)) == golden(name)


@pytest.mark.parametrize("path, found", [(JOBS, job_object()), (JOBSETS, jobset_object())])
def test_a_taken_name_is_refused(cluster: Loopback, path: str, found: dict[str, Any]) -> None:
    cluster.on("GET", f"{path}/mnist", found)
    with pytest.raises(LaunchError, match="--name=mnist: a job of this name"):
        gke_of(cluster).submit(a_job())
    assert not cluster.received("POST", JOBS)


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (UNKNOWN_KIND, r"does not know JobSets.*install JobSet 0\.10\.1"),
        (UNKNOWN_FIELD, r"JobSet is too old .*unknown field.* update it"),
        (NO_NAMESPACE, r'namespaces "default" not found.*--namespace=default'),
    ],
)
def test_what_a_jobset_lacks_is_named(cluster: Loopback, answer: Answer, sentence: str) -> None:
    if answer is UNKNOWN_KIND:
        cluster.on("GET", f"{JOBSETS}/mnist", UNKNOWN_KIND)
    cluster.on("POST", JOBSETS, answer)
    with pytest.raises(ServiceError, match=sentence):
        gke_of(cluster).submit(a_job(workers=2))


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (refusal(401, "Unauthorized"), "credentials were refused .*gcloud container clusters"),
        (refusal(403, 'jobs.batch is forbidden: User "x"'), 'User "x".*roles/container.developer'),
        (refusal(403, "exceeded quota: gpus, requested: 1"), "quota of namespace default is used"),
        (refusal(409, 'jobs.batch "mnist" already exists'), "refused .*already exists"),
        (refusal(422, "spec.backoffLimit: Invalid value"), "refused .*Invalid value"),
        (refusal(429, "too many requests"), "429, too many requests.*again in a minute"),
        (refusal(503, "apiserver is shutting down"), "503, apiserver.*again in a minute"),
        (Answer("bad gateway", 502), "502, bad gateway.*again in a minute"),
        (Answer(cut="before"), "no connection to the cluster .*check the network"),
        (Answer({"kind": "Job"}, cut="within"), "no connection to the cluster .*check the network"),
    ],
)
def test_refusals_become_one_sentence(cluster: Loopback, answer: Answer, sentence: str) -> None:
    cluster.on("POST", JOBS, answer)
    with pytest.raises(ServiceError, match=f"^submitting job mnist: .*{sentence}") as raised:
        gke_of(cluster).submit(a_job())
    assert "\n" not in str(raised.value)


def test_every_other_call_names_refusals_too(cluster: Loopback) -> None:
    for path in (JOBS, f"{JOBS}/mnist"):
        cluster.on("GET", path, refusal(403, "forbidden"))
    gke = gke_of(cluster)
    calls = (gke.status, gke.cancel, lambda job: list(gke.logs(job, False)), lambda _: gke.list())
    for call in calls:
        with pytest.raises(ServiceError, match="roles/container"):
            call("mnist")


def test_nothing_that_listens_is_named() -> None:
    with Loopback() as gone:
        gke = gke_of(gone)
    with pytest.raises(ServiceError, match="no connection to the cluster"):
        gke.status("mnist")


def test_a_negative_number_of_restarts_is_refused() -> None:
    with pytest.raises(LaunchError, match="--max_restarts=-1: give 0 or more"):
        Gke(max_restarts=-1)


def test_a_job_that_is_not_there_is_named(cluster: Loopback) -> None:
    with pytest.raises(ServiceError, match="there is no job mnist in namespace default"):
        gke_of(cluster).status("mnist")


@pytest.mark.parametrize("call", ["status", "cancel"])
def test_jobs_of_others_are_left_alone(cluster: Loopback, call: str) -> None:
    found = job_object()
    found["metadata"]["labels"] = {"app": "somebody-elses"}
    cluster.on("GET", f"{JOBS}/mnist", found)
    with pytest.raises(ServiceError, match="was not started by this tool"):
        getattr(gke_of(cluster), call)("mnist")
    assert {request.method for request in cluster.requests} == {"GET"}


def test_list_shows_own_jobs_newest_first(cluster: Loopback) -> None:
    done = job_object(conditions=[condition("Complete", "CompletionsReached")])
    cluster.on("GET", JOBS, {"items": [done]})
    cluster.on("GET", JOBSETS, {"items": [jobset_object()]})
    cluster.on("GET", PODS, {"items": [pod("Running", of="pair"), pod("Succeeded", uid="b")]})
    found = [(status.job_id, status.state) for status in gke_of(cluster).list()]
    assert found == [("pair", JobState.RUNNING), ("mnist", JobState.SUCCEEDED)]
    selectors = {request.query["labelSelector"] for request in cluster.requests}
    assert selectors == {"app.kubernetes.io/managed-by=dcgan-trainer"}


def test_list_does_without_jobset(cluster: Loopback) -> None:
    cluster.on("GET", JOBS, {"items": [job_object()]})
    cluster.on("GET", JOBSETS, UNKNOWN_KIND)
    assert [status.job_id for status in gke_of(cluster).list()] == ["mnist"]


@pytest.mark.parametrize(
    "path, found", [(f"{JOBS}/mnist", job_object()), (f"{JOBSETS}/pair", jobset_object())]
)
def test_cancel_waits_for_the_pods(cluster: Loopback, path: str, found: dict[str, Any]) -> None:
    cluster.on("GET", path, found)
    cluster.on("DELETE", path, {"kind": "Status", "status": "Success"})
    gke_of(cluster).cancel(found["metadata"]["name"])
    (request,) = cluster.received("DELETE", path)
    assert request.query == {"propagationPolicy": "Foreground"}
