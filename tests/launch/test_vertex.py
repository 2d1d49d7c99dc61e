"""Jobs on Vertex AI: the real clients against a server on this machine."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from google.cloud.aiplatform_v1 import types

from launch import main
from launch.backend import JobState
from launch.errors import LaunchError, ServiceError
from launch.job import JobSpec
from launch.vertex import Vertex
from tests.helpers.jobs import a_job, a_spot_job, golden
from tests.helpers.loopback import Answer, Loopback, google_error
from tests.helpers.vertex_api import JOBS, REFUSALS, custom_job, vertex_at

STATES = {
    JobState.WAITING: {"UNSPECIFIED", "QUEUED", "PENDING", "PAUSED"},
    JobState.RUNNING: {"RUNNING", "UPDATING", "CANCELLING"},
    JobState.SUCCEEDED: {"SUCCEEDED"},
    JobState.FAILED: {"PARTIALLY_SUCCEEDED", "FAILED", "EXPIRED"},
    JobState.CANCELLED: {"CANCELLED"},
}
# The client sends enums by number, which the API takes as well; the golden files have the names.
ENUMS = {"STANDARD": 3, "SPOT": 4, "NVIDIA_H100_80GB": 13}
OWN = {"run_dir": "gs://b/runs/mnist", "image": "us-docker.pkg.dev/p/r/trainer:1"}
TENSORBOARD = {
    "service_account": "trainer@p.iam.gserviceaccount.com",
    "tensorboard": "projects/123/locations/us-west4/tensorboards/9",
}

pytestmark = pytest.mark.usefixtures("impatient")
job = functools.partial(a_job, **OWN)


def with_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    enums = ("strategy", "acceleratorType")
    return {key: ENUMS[value] if key in enums else value for key, value in fields.items()}


@pytest.mark.parametrize(
    ("name", "spec", "options"),
    [
        ("vertex_cpu", job(), {}),
        ("vertex_v5e_8_spot", a_spot_job(**OWN), {}),
        ("vertex_three_h100_hosts", job("h100-8", workers=3), TENSORBOARD),
    ],
)
def test_golden_bodies(server: Loopback, name: str, spec: JobSpec, options: dict[str, str]) -> None:
    server.on("POST", JOBS, custom_job(state="PENDING"))
    cloud = vertex_at(server, **options)
    assert cloud.submit(spec) == "77"
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer secret"
    expected = golden(f"{name}.json")
    assert request.body == json.loads(json.dumps(expected), object_hook=with_numbers)
    rendered = json.loads(cloud.render(spec))
    assert rendered == {"parent": "projects/p/locations/us-west4", "customJob": expected}


def test_render_needs_neither_network_nor_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    command = ["render", "--backend=vertex", "--project=p", "--region=us-west4"]
    command += ["--config=configs/mnist.py", "--run_dir=gs://b/runs/mnist", "--accelerator=v5e-8"]
    command += ["--image=us-docker.pkg.dev/p/r/trainer:1", "--spot", "--max_hours=1.5"]
    command += ["--label=team=vision", "--", "--config.train.group_size=8"]
    assert main.main(command) == 0
    expected = golden("vertex_v5e_8_spot.json")
    assert json.loads(capsys.readouterr().out)["customJob"] == expected
    assert main.main(["submit", *command[1:]]) == 3
    assert "gcloud auth application-default login" in capsys.readouterr().err


def test_default_logins_and_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    known = {f"JOB_STATE_{state}" for states in STATES.values() for state in states}
    assert set(types.JobState.__members__) == known
    for ours, states in STATES.items():
        for state in states:
            server.on("GET", f"{JOBS}/77", custom_job(state=state))
            status = vertex_at(server).status("77")
            assert (status.state, status.detail) == (ours, f"mnist: {state}")
            assert (status.job_id, status.created) == ("77", "2026-11-24T10:00:00.250+00:00")


def test_a_failed_job_says_why(server: Loopback) -> None:
    error = {"code": 3, "message": "The replica workerpool0-0 exited with status 1."}
    server.on("GET", f"{JOBS}/77", custom_job(state="FAILED", error=error))
    assert vertex_at(server).status("77").detail == f"mnist: FAILED, {error['message']}"


def test_list_asks_for_our_own_and_reads_all_pages(server: Loopback) -> None:
    newer = custom_job(78, createTime="2026-11-24T11:00:00Z")
    first_page = {"customJobs": [custom_job(77)], "nextPageToken": "more"}
    server.on("GET", JOBS, first_page, {"customJobs": [newer]})
    assert [status.job_id for status in vertex_at(server).list()] == ["78", "77"]
    first, second = server.requests
    assert first.query["filter"] == second.query["filter"] == 'labels.launcher="dcgan-trainer"'
    assert second.query["pageToken"] == "more"


def test_cancel(server: Loopback) -> None:
    server.on("POST", f"{JOBS}/77:cancel", {})
    vertex_at(server).cancel("77")
    assert len(server.received("POST", f"{JOBS}/77:cancel")) == 1


@pytest.mark.parametrize(("answer", "sentence"), REFUSALS)
def test_refusals_are_one_sentence(server: Loopback, answer: Answer, sentence: str) -> None:
    for method, path in (("POST", JOBS), ("GET", JOBS), ("GET", f"{JOBS}/77")):
        server.on(method, path, answer)
    server.on("POST", f"{JOBS}/77:cancel", answer)
    cloud = vertex_at(server)
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


def test_a_submission_is_never_sent_twice(server: Loopback) -> None:
    server.on("POST", JOBS, google_error(503, "UNAVAILABLE", "x"), Answer(custom_job()))
    with pytest.raises(ServiceError, match="see with list whether it was started"):
        vertex_at(server).submit(job())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (job("v6e-8"), "v6e-8 .* on TPU v5e only"),
        (job("v5p-8"), "v5p-8 .* on TPU v5e only"),
        (job("v5e-16"), "Python 3.10, too old"),
        (job(image=""), "--image is missing"),
    ],
)
def test_what_vertex_cannot_run_is_refused(server: Loopback, spec: JobSpec, sentence: str) -> None:
    for asked in (vertex_at(server).submit, vertex_at(server).render):
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
        vertex_at(server).status('7" OR "')
    assert not server.requests
