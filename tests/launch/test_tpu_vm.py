"""The real clients against the TPU API and Cloud Storage on this machine."""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth
import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from google.cloud import tpu_v2alpha1 as tpu
from google.protobuf import json_format
from google.rpc import status_pb2

import launch.main
from launch.backend import JobState, JobStatus
from launch.errors import LaunchError, ServiceError
from launch.tpu_vm import TpuVm
from tests.helpers.jobs import a_job
from tests.helpers.loopback import Answer, Loopback, google_error
from tests.helpers.tpu_api import PARENT, Initiator, State, TpuApi

GOLDEN = Path(__file__).parent / "golden/tpu_vm_mnist.json"
OBJECTS = "/storage/v1/b/bucket/o"
REPORT = f"/download{OBJECTS}/runs%2Fmnist%2Flaunch%2Fworker-0.json"
LOG = f"/download{OBJECTS}/runs%2Fmnist%2Flaunch%2Fworker-0.log"
CANCEL = f"{OBJECTS}/runs%2Fmnist%2Flaunch%2Fcancel"
NOT_THERE = google_error(404, "NOT_FOUND", "No such object")
RUNNING = {"state": "running", "detail": "", "seconds": 60}
DONE = {"state": "succeeded", "detail": "exit code 0", "seconds": 90}

a_tpu_job = functools.partial(a_job, "v5e-8")


class Clock:
    """Lets something happen in place of each wait."""

    def __init__(self) -> None:
        self.events: list[Callable[[], object]] = []

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        assert self.events, "waits for something that does not come"
        self.events.pop(0)()


@pytest.fixture
def api() -> Iterator[TpuApi]:
    with TpuApi() as api:
        yield api


@pytest.fixture
def gcs() -> Iterator[Loopback]:
    """Cloud Storage with an empty bucket."""
    with Loopback() as gcs:
        gcs.on("GET", OBJECTS, {"items": []})
        gcs.on("GET", REPORT, NOT_THERE)
        gcs.on("GET", LOG, NOT_THERE)
        yield gcs


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cloud(api: TpuApi, gcs: Loopback, clock: Clock) -> TpuVm:
    client = storage.Client(
        project="my-project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gcs.url},
    )
    return TpuVm(
        "my-project", "us-west4-a", client=api.client, storage_client=client, sleep=clock.sleep
    )


def test_the_request_as_received(api: TpuApi, cloud: TpuVm) -> None:
    cloud.service_account = "trainer@my-project.iam.gserviceaccount.com"
    job = a_tpu_job(
        spot=True,
        max_hours=1.5,
        labels={"team": "gan"},
        trainer_arguments=("--config.data.records_dir=gs://bucket/my data",),
    )
    assert cloud.submit(job) == "mnist"
    (request,) = api.calls("CreateQueuedResource")
    received = json_format.MessageToDict(tpu.CreateQueuedResourceRequest.pb(request))
    golden = json.loads(GOLDEN.read_text())
    metadata = golden["queuedResource"]["tpu"]["nodeSpec"][0]["node"]["metadata"]
    metadata["startup-script"] = Path(metadata["startup-script"]).read_text()
    assert received == golden
    assert json.loads(cloud.render(job)) == received


def test_render_needs_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.auth, "default", _no_credentials)
    cloud = TpuVm("my-project", "us-west4-a", runtime_version="tpu-vm-tf-2.19.0-pjrt")
    resource = json.loads(cloud.render(a_tpu_job()))["queuedResource"]
    assert "spot" not in resource
    node = resource["tpu"]["nodeSpec"][0]["node"]
    assert node["runtimeVersion"] == "tpu-vm-tf-2.19.0-pjrt" and "serviceAccount" not in node
    with pytest.raises(ServiceError, match="gcloud auth application-default login"):
        cloud.status("mnist")


def _no_credentials(*_: Any, **__: Any) -> None:
    raise DefaultCredentialsError("none")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"accelerator": "h100-8"}, "--accelerator=h100-8 with --backend=tpu_vm"),
        ({"accelerator": "v5e-16"}, "--accelerator=v5e-16 has 4 hosts"),
        ({"run_dir": "runs/mnist"}, "--run_dir=runs/mnist is on this machine"),
        ({"image": ""}, "--image is missing"),
    ],
)
def test_what_a_tpu_vm_cannot_run(changes: dict[str, str], words: str, cloud: TpuVm) -> None:
    job = a_job(**{"accelerator": "v5e-8"} | changes)
    with pytest.raises(LaunchError, match=words):
        cloud.render(job)


@pytest.mark.parametrize("accelerator, runtime", [("v5p-8", "tpuv5"), ("v6e-8", "tpuv6e")])
def test_generations(accelerator: str, runtime: str, cloud: TpuVm) -> None:
    request = json.loads(cloud.render(a_job(accelerator)))
    node = request["queuedResource"]["tpu"]["nodeSpec"][0]["node"]
    assert node["acceleratorType"] == accelerator
    assert node["runtimeVersion"] == f"v2-alpha-{runtime}"


BY_SERVICE, BY_USER = Initiator.SERVICE, Initiator.USER
GOING_DOWN = {"state": "waiting", "detail": "the VM goes down; exit code 143", "seconds": 5}
FAILED = {"state": "failed", "detail": "exit code 2", "seconds": 5}
ASKED = {"state": "cancelled", "detail": "exit code 143, cancelled", "seconds": 5}


@pytest.mark.parametrize(
    "state, initiator, report, vm, expected, words",
    [
        (State.STATE_UNSPECIFIED, BY_SERVICE, None, None, "waiting", "STATE_UNSPECIFIED"),
        (State.CREATING, BY_SERVICE, None, None, "waiting", "CREATING"),
        (State.ACCEPTED, BY_SERVICE, None, None, "waiting", "ACCEPTED"),
        (State.WAITING_FOR_RESOURCES, BY_SERVICE, None, None, "waiting", "WAITING_FOR_RESOURCES"),
        (State.PROVISIONING, BY_SERVICE, RUNNING, None, "waiting", "PROVISIONING"),
        (State.ACTIVE, BY_SERVICE, None, "READY", "running", "the VM starts"),
        (State.ACTIVE, BY_SERVICE, RUNNING, "READY", "running", "ACTIVE"),
        (State.ACTIVE, BY_SERVICE, RUNNING, None, "running", "ACTIVE"),
        (State.ACTIVE, BY_SERVICE, GOING_DOWN, "RESTARTING", "waiting", "the VM goes down"),
        (State.ACTIVE, BY_SERVICE, RUNNING, "PREEMPTED", "failed", "taken away"),
        (State.ACTIVE, BY_SERVICE, RUNNING, "TERMINATED", "failed", "taken away"),
        (State.ACTIVE, BY_SERVICE, DONE, "READY", "succeeded", "not deleted yet"),
        (State.SUSPENDING, BY_SERVICE, RUNNING, None, "waiting", "SUSPENDING"),
        (State.SUSPENDING, BY_USER, DONE, None, "succeeded", "exit code 0"),
        (State.SUSPENDED, BY_USER, DONE, None, "succeeded", "exit code 0"),
        (State.SUSPENDED, BY_USER, FAILED, None, "failed", "exit code 2"),
        (State.SUSPENDED, BY_USER, ASKED, None, "cancelled", "exit code 143"),
        (State.SUSPENDED, BY_USER, RUNNING, None, "cancelled", "its VM was deleted"),
        (State.SUSPENDED, BY_SERVICE, RUNNING, None, "failed", "taken away"),
        (State.SUSPENDED, BY_SERVICE, None, None, "failed", "taken away"),
        (State.FAILED, BY_SERVICE, RUNNING, None, "failed", "taken away"),
        (State.FAILED, BY_SERVICE, None, None, "failed", "FAILED: no such runtime"),
        (State.DELETING, BY_SERVICE, RUNNING, None, "cancelled", "its VM was deleted"),
    ],
)
def test_status_through_all_states(
    state: State,
    initiator: Initiator,
    report: dict[str, Any] | None,
    vm: str | None,
    expected: str,
    words: str,
    api: TpuApi,
    gcs: Loopback,
    cloud: TpuVm,
) -> None:
    cloud.submit(a_tpu_job())
    api.put("mnist", state, initiator)
    if state is State.FAILED:
        error = status_pb2.Status(code=3, message="no such runtime")
        failed = tpu.QueuedResourceState.FailedData(error=error)
        api.resources[f"{PARENT}/queuedResources/mnist"].state.failed_data = failed
    if state is State.DELETING:
        api.polls_of_deletion = 1
    if vm:
        api.vms[f"{PARENT}/nodes/mnist"] = tpu.Node.State[vm]
    gcs.on("GET", REPORT, report or NOT_THERE)
    status = cloud.status("mnist")
    assert (status.job_id, status.state, status.created) == (
        "mnist",
        JobState(expected),
        "2026-11-24T10:00:00+00:00",
    )
    assert words in status.detail


def test_all_states_of_the_api_are_tested() -> None:
    """A new one of the client must be looked at."""
    (mark,) = [
        mark
        for mark in test_status_through_all_states.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    ]
    assert {case[0] for case in mark.args[1]} == set(State)


def test_a_name_is_free_again_when_its_job_is_over(
    api: TpuApi, gcs: Loopback, clock: Clock, cloud: TpuVm
) -> None:
    cloud.submit(a_tpu_job())
    with pytest.raises(LaunchError, match="--name=mnist: a job of this name is not over"):
        cloud.submit(a_tpu_job())
    api.put("mnist", State.SUSPENDED, Initiator.USER)
    gcs.on("GET", REPORT, DONE)
    gcs.on("GET", OBJECTS, {"items": [{"name": "runs/mnist/launch/worker-0.json"}]})
    old = f"{OBJECTS}/runs%2Fmnist%2Flaunch%2Fworker-0.json"
    gcs.on("DELETE", old, Answer(b"", 204))
    api.polls_of_deletion = 2
    clock.events = [lambda: None, lambda: None]
    cloud.submit(a_tpu_job())
    (deletion,) = api.calls("DeleteQueuedResource")
    assert deletion.force and deletion.name == f"{PARENT}/queuedResources/mnist"
    assert len(gcs.received("DELETE", old)) == 1
    (_, listing) = gcs.received("GET", OBJECTS)
    assert listing.query["prefix"] == "runs/mnist/launch/"
    assert len(api.calls("CreateQueuedResource")) == 2 and not clock.events


def test_a_deletion_that_does_not_end(api: TpuApi, clock: Clock, cloud: TpuVm) -> None:
    cloud.submit(a_tpu_job())
    api.polls_of_deletion = 1000
    clock.events = [lambda: None] * 1000
    with pytest.raises(ServiceError, match="still there"):
        cloud.cancel("mnist")


def test_what_others_queued_is_left_alone(api: TpuApi, cloud: TpuVm) -> None:
    foreign = tpu.QueuedResource(name=f"{PARENT}/queuedResources/mnist")
    api.resources[foreign.name] = foreign
    for forbidden in (lambda: cloud.submit(a_tpu_job()), lambda: cloud.cancel("mnist")):
        with pytest.raises(LaunchError, match="did not start"):
            forbidden()
    assert cloud.list() == []


def test_a_new_vm_after_each_preemption(
    api: TpuApi, gcs: Loopback, clock: Clock, cloud: TpuVm, capsys: pytest.CaptureFixture[str]
) -> None:
    def goes(state: State, report: dict[str, Any], initiator: Initiator = BY_SERVICE) -> None:
        api.put("mnist", state, initiator)
        gcs.on("GET", REPORT, report)

    clock.events = [
        lambda: goes(State.ACTIVE, RUNNING),
        lambda: goes(State.SUSPENDING, RUNNING),
        lambda: goes(State.SUSPENDED, RUNNING),
        # The second one is seen by its VM alone.
        lambda: goes(State.ACTIVE, RUNNING),
        lambda: api.vms.update({f"{PARENT}/nodes/mnist": tpu.Node.State.PREEMPTED}),
        lambda: (api.vms.clear(), goes(State.ACTIVE, RUNNING)),
        lambda: goes(State.SUSPENDED, DONE, BY_USER),
    ]
    status = cloud.watch(a_tpu_job(spot=True), max_restarts=3)
    assert status.state is JobState.SUCCEEDED and not clock.events
    creations = api.calls("CreateQueuedResource")
    assert len(creations) == 3 and creations[0] == creations[1] == creations[2]
    assert [request.force for request in api.calls("DeleteQueuedResource")] == [True, True]
    assert len(gcs.received("GET", OBJECTS)) == 1, "the log and the hours used are kept"
    assert len(api.calls("DeleteNode")) == 1, "the VM may not have had the right to"
    said = capsys.readouterr().err
    assert "asking for a new VM, 2 of at most 3" in said and "mnist is succeeded" in said


def test_new_vms_are_bounded(api: TpuApi, gcs: Loopback, clock: Clock, cloud: TpuVm) -> None:
    gcs.on("GET", REPORT, RUNNING)
    clock.events = [lambda: api.put("mnist", State.SUSPENDED)] * 3
    assert cloud.watch(a_tpu_job(), max_restarts=2).state is JobState.FAILED
    assert len(api.calls("CreateQueuedResource")) == 3


def test_watching_a_job_that_is_there(
    api: TpuApi, gcs: Loopback, clock: Clock, cloud: TpuVm
) -> None:
    cloud.submit(a_tpu_job())
    with pytest.raises(LaunchError, match="another job of this name"):
        cloud.watch(a_tpu_job(trainer_arguments=("--config.train.epochs=3",)), max_restarts=1)
    api.put("mnist", State.SUSPENDED)
    clock.events = [lambda: (api.resources.clear(), gcs.on("GET", REPORT, NOT_THERE))]
    status = cloud.watch(a_tpu_job(), max_restarts=1)
    assert (status.state, status.detail) == (JobState.CANCELLED, "it was deleted")
    assert len(api.calls("CreateQueuedResource")) == 2, "one by submit, one in place of it"
    assert len(gcs.received("GET", OBJECTS)) == 1, "the log and the hours used are kept"


def test_a_watch_outlives_a_silent_service_but_no_refusal(
    api: TpuApi, clock: Clock, cloud: TpuVm
) -> None:
    silent = (grpc.StatusCode.UNAVAILABLE, "try later")
    clock.events = [
        lambda: api.failures.extend([silent, silent]),
        lambda: None,
        lambda: None,
        lambda: api.failures.append((grpc.StatusCode.PERMISSION_DENIED, "no")),
    ]
    with pytest.raises(ServiceError, match="not allowed"):
        cloud.watch(a_tpu_job(), max_restarts=1)
    assert not clock.events and not api.failures


def test_patience_ends(api: TpuApi, clock: Clock, cloud: TpuVm) -> None:
    clock.events = [lambda: (api.server.stop(0).wait(), None)[1], *[lambda: None] * 30]
    with pytest.raises(ServiceError, match="did not answer"):
        cloud.watch(a_tpu_job(), max_restarts=1)
    assert 5 < len(clock.events) < 15


def test_cancel(api: TpuApi, gcs: Loopback, cloud: TpuVm) -> None:
    cloud.submit(a_tpu_job())
    api.put("mnist", State.ACTIVE)
    gcs.on("GET", REPORT, RUNNING)
    gcs.on("GET", CANCEL, NOT_THERE, {"name": "runs/mnist/launch/cancel"})
    gcs.on("POST", f"/upload{OBJECTS}", {"name": "runs/mnist/launch/cancel"})
    cloud.cancel("mnist")
    (upload,) = gcs.received("POST", f"/upload{OBJECTS}")
    assert '"name": "runs/mnist/launch/cancel"' in upload.body
    assert not api.calls("DeleteQueuedResource"), "the VM ends it, after it has saved"
    cloud.cancel("mnist")
    assert api.calls("DeleteQueuedResource")[0].force
    with pytest.raises(ServiceError, match="there is no job mnist in us-west4-a"):
        cloud.cancel("mnist")


def test_what_has_no_vm_is_deleted_at_once(api: TpuApi, gcs: Loopback, cloud: TpuVm) -> None:
    cloud.submit(a_tpu_job())
    cloud.cancel("mnist")
    assert not api.resources and not gcs.received("POST", f"/upload{OBJECTS}")


def test_list(api: TpuApi, gcs: Loopback, cloud: TpuVm) -> None:
    for name in ("first", "second", "third"):
        cloud.submit(a_tpu_job(name=name))
    foreign = api.resources[f"{PARENT}/queuedResources/second"].tpu.node_spec[0].node
    del foreign.labels["launched-by"]
    assert [(status.job_id, status.created) for status in cloud.list()] == [
        ("third", "2026-11-24T10:00:02+00:00"),
        ("first", "2026-11-24T10:00:00+00:00"),
    ]
    assert len(api.calls("ListQueuedResources")) == 3, "a page each"


def test_logs(api: TpuApi, gcs: Loopback, cloud: TpuVm) -> None:
    cloud.submit(a_tpu_job())
    assert list(cloud.logs("mnist", follow=False)) == []
    gcs.on("GET", LOG, Answer(b"one\ntw\xc3\xb6\nthr"))
    assert list(cloud.logs("mnist", follow=False)) == ["one", "twö", "thr"]


def test_logs_are_followed_to_the_end(
    api: TpuApi, gcs: Loopback, clock: Clock, cloud: TpuVm
) -> None:
    cloud.submit(a_tpu_job())
    nothing_new = google_error(416, "OUT_OF_RANGE", "Range Not Satisfiable")
    gcs.on("GET", LOG, NOT_THERE, Answer(b"one\ntw", 206), nothing_new, Answer(b"o\nthree\n", 206))
    clock.events = [
        lambda: (api.put("mnist", State.ACTIVE), gcs.on("GET", REPORT, RUNNING)),
        lambda: api.failures.append((grpc.StatusCode.UNAVAILABLE, "try later")),
        lambda: None,
        lambda: gcs.on("GET", REPORT, DONE),
    ]
    assert list(cloud.logs("mnist", follow=True)) == ["one", "two", "three"]
    ranges = [request.headers.get("range") for request in gcs.received("GET", LOG)]
    assert ranges[1:] == ["bytes=0-", "bytes=6-", "bytes=6-"]


@pytest.mark.parametrize(
    "code, words",
    [
        (grpc.StatusCode.UNAUTHENTICATED, "credentials were refused"),
        (grpc.StatusCode.PERMISSION_DENIED, r"not allowed \(its own words\).*roles/tpu.admin"),
        (grpc.StatusCode.NOT_FOUND, r"its own words.*check the name, --project=my-project"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, r"quota is used up \(its own words\)"),
        (grpc.StatusCode.UNAVAILABLE, r"its own words.*give the command again"),
        (grpc.StatusCode.INVALID_ARGUMENT, r"refused \(its own words\)"),
    ],
)
def test_refusals_by_the_tpu_api(
    code: grpc.StatusCode, words: str, api: TpuApi, cloud: TpuVm
) -> None:
    api.failures.append((code, "its own words"))
    with pytest.raises(ServiceError, match=words) as refused:
        cloud.list()
    assert "\n" not in str(refused.value)


def test_a_refusal_when_the_operation_ends_at_once(api: TpuApi, cloud: TpuVm) -> None:
    api.create_error = status_pb2.Status(code=8, message="no v5e left in your quota")
    with pytest.raises(ServiceError, match=r"quota is used up \(.*no v5e left in your quota"):
        cloud.submit(a_tpu_job())


def test_a_cut_connection(api: TpuApi, cloud: TpuVm) -> None:
    api.server.stop(0).wait()
    with pytest.raises(ServiceError, match="did not answer as it should"):
        cloud.list()


@pytest.mark.parametrize(
    "status, words",
    [
        # The client then tries to renew the test's credentials.
        (401, "gcloud auth application-default login"),
        (403, "roles/storage.objectUser"),
        (404, "clearing gs://bucket/runs/mnist/launch: not found"),
    ],
)
def test_refusals_by_the_bucket(
    status: int, words: str, api: TpuApi, gcs: Loopback, cloud: TpuVm
) -> None:
    gcs.on("GET", OBJECTS, google_error(status, "REFUSED", "no"))
    with pytest.raises(ServiceError, match=words):
        cloud.submit(a_tpu_job())
    assert not api.resources, "asked before anything costs money"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_bucket_is_asked_again(
    status: int, gcs: Loopback, cloud: TpuVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    cloud.submit(a_tpu_job())
    gcs.on("GET", REPORT, google_error(status, "BUSY", "later"), NOT_THERE)
    assert cloud.status("mnist").state is JobState.WAITING


def test_watch_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = SimpleNamespace()

    def watch(job: Any, max_restarts: int) -> JobStatus:
        seen.job, seen.max_restarts = job, max_restarts
        return JobStatus("mnist", JobState.FAILED)

    monkeypatch.setattr(launch.main, "_tpu_vm", lambda options: SimpleNamespace(watch=watch))
    flags = ["--config=configs/mnist.py", "--run_dir=gs://bucket/runs/mnist", "--image=i:1"]
    flags += ["--accelerator=v5e-8", "--watch", "--max_restarts=7"]
    assert launch.main.main(["submit", "--backend=tpu_vm", *flags]) == 1
    assert (seen.job.name, seen.max_restarts) == ("mnist", 7)
    assert "chip-hours" in capsys.readouterr().err
    assert launch.main.main(["submit", "--backend=gke", *flags]) == 2
    assert "--watch with --backend=gke: leave it out" in capsys.readouterr().err
