"""Jobs on Vertex AI: the real clients against a server on this machine."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import Credentials
from google.cloud import logging
from google.cloud.aiplatform_v1 import JobServiceClient, types
from google.cloud.aiplatform_v1.services.job_service.transports.rest import (
    JobServiceRestTransport,
)

from launch import main
from launch.backend import JobState
from launch.catalog import find_accelerator
from launch.errors import LaunchError, ServiceError
from launch.job import JobSpec
from launch.vertex import Vertex
from tests.helpers.loopback import Answer, Loopback, google_error

GOLDEN = Path(__file__).parent / "golden"
PARENT = "/v1/projects/p/locations/us-west4"
JOBS = f"{PARENT}/customJobs"
ENTRIES = "/v2/entries:list"
CREATED = "2026-11-24T10:00:00.250Z"
STATES = {
    "JOB_STATE_UNSPECIFIED": "waiting",
    "JOB_STATE_QUEUED": "waiting",
    "JOB_STATE_PENDING": "waiting",
    "JOB_STATE_PAUSED": "waiting",
    "JOB_STATE_RUNNING": "running",
    "JOB_STATE_UPDATING": "running",
    "JOB_STATE_CANCELLING": "running",
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "failed",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}
# The client sends enums by number, which the API takes as well; the golden files have the names.
ENUMS = {"STANDARD": 3, "SPOT": 4, "NVIDIA_H100_80GB": 13}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.vertex._RETRY", Retry(initial=0.001, maximum=0.001, timeout=0.05))


class Token(Credentials):
    def refresh(self, request: Any) -> None:
        self.token = "secret"


def vertex(server: Loopback, **options: Any) -> Vertex:
    return Vertex(
        "p",
        "us-west4",
        client=JobServiceClient(
            transport=JobServiceRestTransport(host=server.url, credentials=Token())
        ),
        log_client=logging.Client(
            project="p",
            credentials=Token(),
            _use_grpc=False,
            client_options=ClientOptions(api_endpoint=server.url),
        ),
        **options,
    )


def job(accelerator: str = "cpu", **changes: Any) -> JobSpec:
    spec = JobSpec(
        name="mnist",
        config="configs/mnist.py",
        run_dir="gs://b/runs/mnist",
        accelerator=find_accelerator(accelerator),
        image="us-docker.pkg.dev/p/r/trainer:1",
    )
    return dataclasses.replace(spec, **changes)


def custom_job(number: int = 77, state: str = "JOB_STATE_RUNNING", **more: Any) -> dict[str, Any]:
    name = f"projects/123/locations/us-west4/customJobs/{number}"
    return {"name": name, "displayName": "mnist", "state": state, "createTime": CREATED, **more}


def entry(second: int, text: str, worker: str = "workerpool0-0", **more: Any) -> dict[str, Any]:
    return {
        "logName": "projects/p/logs/workerpool0-0",
        "insertId": f"id-{text}",
        "timestamp": f"2026-11-24T10:{second // 60:02d}:{second % 60:02d}.5Z",
        "resource": {"type": "ml_job", "labels": {"job_id": "77", "task_name": worker}},
        "textPayload": text,
        **more,
    }


def with_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    enums = ("strategy", "acceleratorType")
    return {key: ENUMS[value] if key in enums else value for key, value in fields.items()}


TENSORBOARD = {
    "service_account": "trainer@p.iam.gserviceaccount.com",
    "tensorboard": "projects/123/locations/us-west4/tensorboards/9",
}


@pytest.mark.parametrize(
    ("golden", "spec", "options"),
    [
        ("vertex_cpu", job(), {}),
        (
            "vertex_v5e_8_spot",
            job(
                "v5e-8",
                spot=True,
                max_hours=1.5,
                labels={"team": "vision"},
                trainer_arguments=("--config.train.group_size=8",),
            ),
            {},
        ),
        ("vertex_three_h100_hosts", job("h100-8", workers=3), TENSORBOARD),
    ],
)
def test_the_body_as_received(
    server: Loopback, golden: str, spec: JobSpec, options: dict[str, str]
) -> None:
    server.on("POST", JOBS, custom_job(state="JOB_STATE_PENDING"))
    cloud = vertex(server, **options)
    assert cloud.submit(spec) == "77"
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer secret"
    text = (GOLDEN / f"{golden}.json").read_text()
    assert request.body == json.loads(text, object_hook=with_numbers)
    rendered = json.loads(cloud.render(spec))
    assert rendered == {"parent": PARENT.removeprefix("/v1/"), "customJob": json.loads(text)}


def test_render_needs_neither_network_nor_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    command = ["render", "--backend=vertex", "--project=p", "--region=us-west4"]
    command += ["--config=configs/mnist.py", "--run_dir=gs://b/runs/mnist", "--accelerator=v5e-8"]
    command += ["--image=us-docker.pkg.dev/p/r/trainer:1", "--spot", "--max_hours=1.5"]
    command += ["--label=team=vision", "--", "--config.train.group_size=8"]
    assert main.main(command) == 0
    expected = json.loads((GOLDEN / "vertex_v5e_8_spot.json").read_text())
    assert json.loads(capsys.readouterr().out)["customJob"] == expected
    assert main.main(["submit", *command[1:]]) == 3
    assert "gcloud auth application-default login" in capsys.readouterr().err


def test_the_default_credentials_go_to_the_regions_own_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"type": "authorized_user", "client_id": "a", "client_secret": "b"}
    file = tmp_path / "adc.json"
    file.write_text(json.dumps({**login, "refresh_token": "c", "quota_project_id": "p"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    cloud = Vertex("p", "us-west4")
    assert cloud._client.transport.kind == "rest"
    assert cloud._client.transport.host == "https://us-west4-aiplatform.googleapis.com"
    assert cloud._log_client.project == "p"
    assert cloud._log_client._connection.API_BASE_URL == "https://logging.googleapis.com"


def test_every_state_of_the_cloud_is_known(server: Loopback) -> None:
    assert set(types.JobState.__members__) == set(STATES)
    for state, ours in STATES.items():
        server.on("GET", f"{JOBS}/77", custom_job(state=state))
        status = vertex(server).status("77")
        assert status.state is JobState(ours)
        assert status.detail == f"mnist: {state.removeprefix('JOB_STATE_')}"
        assert (status.job_id, status.created) == ("77", "2026-11-24T10:00:00.250+00:00")


def test_a_failed_job_says_why(server: Loopback) -> None:
    error = {"code": 3, "message": "The replica workerpool0-0 exited with status 1."}
    server.on("GET", f"{JOBS}/77", custom_job(state="JOB_STATE_FAILED", error=error))
    assert vertex(server).status("77").detail == f"mnist: FAILED, {error['message']}"


def test_list_asks_for_our_own_and_reads_all_pages(server: Loopback) -> None:
    newer = custom_job(78, createTime="2026-11-24T11:00:00Z")
    server.on(
        "GET",
        JOBS,
        {"customJobs": [custom_job(77)], "nextPageToken": "more"},
        {"customJobs": [newer]},
    )
    assert [status.job_id for status in vertex(server).list()] == ["78", "77"]
    first, second = server.requests
    assert first.query["filter"] == second.query["filter"] == 'labels.launcher="dcgan-trainer"'
    assert second.query["pageToken"] == "more"


def test_cancel(server: Loopback) -> None:
    server.on("POST", f"{JOBS}/77:cancel", {})
    vertex(server).cancel("77")
    assert len(server.received("POST", f"{JOBS}/77:cancel")) == 1


def test_logs_read_all_pages_from_the_jobs_beginning(server: Loopback) -> None:
    server.on("GET", f"{JOBS}/77", custom_job())
    as_json = entry(2, "b", jsonPayload={"message": "step 2", "levelname": "INFO"})
    del as_json["textPayload"]
    server.on(
        "POST",
        ENTRIES,
        {"entries": [entry(1, "step 1\n")], "nextPageToken": "more"},
        {"entries": [as_json, entry(3, "step 3", "workerpool1-0")]},
    )
    assert list(vertex(server).logs("77", follow=False)) == [
        "[workerpool0-0] step 1",
        "[workerpool0-0] step 2",
        "[workerpool1-0] step 3",
    ]
    first, second = server.received("POST", ENTRIES)
    assert first.body == {
        "resourceNames": ["projects/p"],
        "filter": 'resource.type="ml_job" AND resource.labels.job_id="77" '
        'AND timestamp>="2026-11-24T10:00:00.250000+00:00"',
        "orderBy": "timestamp asc",
        "pageSize": 1000,
    }
    assert second.body["pageToken"] == "more"


def test_logs_follow_until_the_end_and_miss_nothing_that_comes_late(server: Loopback) -> None:
    running, ended = custom_job(), custom_job(state="JOB_STATE_SUCCEEDED")
    server.on("GET", f"{JOBS}/77", running, running, ended)
    late = entry(150, "late", "workerpool1-0")
    server.on(
        "POST",
        ENTRIES,
        {"entries": [entry(1, "one"), entry(180, "two")]},
        {"entries": [late, entry(180, "two"), entry(190, "three")]},
        {"entries": [late, entry(180, "two"), entry(190, "three"), entry(200, "last")]},
    )
    waits: list[float] = []
    lines = list(vertex(server, sleep=waits.append).logs("77", follow=True))
    assert [line.split()[1] for line in lines] == ["one", "two", "late", "three", "last"]
    assert waits == [5.0, 5.0, 60.0]
    since = [request.body["filter"].split(">=")[1] for request in server.received("POST", ENTRIES)]
    assert since == [
        '"2026-11-24T10:00:00.250000+00:00"',
        '"2026-11-24T10:02:00.500000+00:00"',
        '"2026-11-24T10:02:10.500000+00:00"',
    ]


def test_following_survives_an_unavailable_service(server: Loopback) -> None:
    unavailable = google_error(503, "UNAVAILABLE", "try later")
    server.on(
        "GET",
        f"{JOBS}/77",
        Answer(custom_job()),
        unavailable,
        Answer(custom_job(state="JOB_STATE_SUCCEEDED")),
    )
    server.on(
        "POST",
        ENTRIES,
        Answer({"entries": [entry(1, "one")]}),
        Answer(cut="within"),
        Answer({"entries": [entry(1, "one"), entry(2, "two")]}),
    )
    lines = list(vertex(server, sleep=lambda _: None).logs("77", follow=True))
    assert lines == ["[workerpool0-0] one", "[workerpool0-0] two"]


REFUSALS = [
    (
        google_error(401, "UNAUTHENTICATED", "bad token"),
        "the credentials were refused; run `gcloud",
    ),
    (google_error(403, "PERMISSION_DENIED", "no right"), "no right); enable the API in project p"),
    (google_error(404, "NOT_FOUND", "no such thing"), "no such thing); check the name"),
    (google_error(429, "RESOURCE_EXHAUSTED", "custom_model_training_tpu_v5e"), "_tpu_v5e); wait"),
    (google_error(503, "UNAVAILABLE", "try later"), "did not answer as it should"),
    (Answer(cut="before"), "no connection"),
    (Answer(custom_job(), cut="within"), "no connection"),
]


@pytest.mark.parametrize(("answer", "sentence"), REFUSALS)
def test_refusals_are_one_sentence_with_the_mend(
    server: Loopback, answer: Answer, sentence: str
) -> None:
    for method, path in (("POST", JOBS), ("GET", JOBS), ("GET", f"{JOBS}/77")):
        server.on(method, path, answer)
    server.on("POST", f"{JOBS}/77:cancel", answer)
    cloud = vertex(server)
    for asked in (
        lambda: cloud.submit(job()),
        lambda: cloud.status("77"),
        lambda: cloud.list(),
        lambda: cloud.cancel("77"),
        lambda: list(cloud.logs("77", follow=False)),
    ):
        with pytest.raises(ServiceError) as raised:
            asked()
        assert sentence in str(raised.value)
        assert "on Vertex AI in us-west4: " in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("answer", "sentence"), REFUSALS)
def test_refusals_of_the_logs(server: Loopback, answer: Answer, sentence: str) -> None:
    server.on("GET", f"{JOBS}/77", custom_job())
    server.on("POST", ENTRIES, answer)
    with pytest.raises(ServiceError) as raised:
        list(vertex(server).logs("77", follow=False))
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("reading logs of job 77: ")


def test_a_submission_is_never_sent_twice(server: Loopback) -> None:
    server.on("POST", JOBS, google_error(503, "UNAVAILABLE", "x"), Answer(custom_job()))
    with pytest.raises(ServiceError, match="see with list whether it was started"):
        vertex(server).submit(job())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (job("v6e-8"), "v6e-8 .* on TPU v5e only"),
        (job("v5p-8"), "v5p-8 .* on TPU v5e only"),
        (job("v5e-16"), "Python 3.10, too old"),
        (job(image=""), "--image is missing"),
        (job(run_dir="runs/mnist"), "give one on gs://"),
        (job(config="/home/me/mnist.py"), "give a path within the image"),
    ],
)
def test_what_vertex_cannot_run_is_refused_before_it_is_asked(
    server: Loopback, spec: JobSpec, sentence: str
) -> None:
    for asked in (vertex(server).submit, vertex(server).render):
        with pytest.raises(LaunchError, match=sentence):
            asked(spec)
    assert not server.requests


@pytest.mark.parametrize(
    ("region", "options", "sentence"),
    [
        ("us-west4-a", {}, "not a zone"),
        ("us-west4", {"tensorboard": TENSORBOARD["tensorboard"]}, "needs --service_account"),
        ("us-west4", {"tensorboard": "9", "service_account": "s"}, "give the whole name"),
    ],
)
def test_a_place_that_cannot_be(region: str, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(LaunchError, match=sentence):
        Vertex("p", region, **options)


def test_a_job_is_called_by_its_number(server: Loopback) -> None:
    with pytest.raises(LaunchError, match="the number that submit printed"):
        vertex(server).status('7" OR "')
    assert not server.requests
