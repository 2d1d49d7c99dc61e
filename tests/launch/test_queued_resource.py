"""What is asked of the TPU API, and what its states mean."""

import json
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import tpu_v2alpha1 as tpu
from google.protobuf import json_format
from google.rpc import status_pb2

from launch.backend import JobState
from launch.errors import LaunchError, ServiceError
from launch.tpu_vm import TpuVm
from tests.helpers.jobs import a_job, a_tpu_job, golden
from tests.helpers.tpu_api import DONE, PARENT, RUNNING, Bucket, Initiator, State, TpuApi


def test_the_request_as_received(api: TpuApi, tpu_vm: TpuVm) -> None:
    tpu_vm.service_account = "trainer@my-project.iam.gserviceaccount.com"
    job = a_tpu_job(
        image="region-docker.pkg.dev/project/repository/trainer:1",
        spot=True,
        max_hours=1.5,
        labels={"team": "gan"},
        trainer_arguments=("--config.data.records_dir=gs://bucket/my data",),
    )
    assert tpu_vm.submit(job) == "mnist"
    (request,) = api.calls("CreateQueuedResource")
    received = json_format.MessageToDict(tpu.CreateQueuedResourceRequest.pb(request))
    expected = golden("tpu_vm_mnist.json")
    metadata = _node(expected)["metadata"]
    metadata["startup-script"] = Path(metadata["startup-script"]).read_text()
    assert received == expected
    assert json.loads(tpu_vm.render(job)) == received


def _node(request: dict[str, Any]) -> dict[str, Any]:
    node: dict[str, Any] = request["queuedResource"]["tpu"]["nodeSpec"][0]["node"]
    return node


def test_render_needs_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_credentials(*_: Any, **__: Any) -> None:
        raise DefaultCredentialsError("none")

    monkeypatch.setattr(google.auth, "default", no_credentials)
    cloud = TpuVm("my-project", "us-west4-a", runtime_version="tpu-vm-tf-2.19.0-pjrt")
    request = json.loads(cloud.render(a_tpu_job()))
    assert "spot" not in request["queuedResource"]
    assert _node(request)["runtimeVersion"] == "tpu-vm-tf-2.19.0-pjrt"
    assert "serviceAccount" not in _node(request)
    with pytest.raises(ServiceError, match="gcloud auth application-default login"):
        cloud.status("mnist")


@pytest.mark.parametrize(
    "accelerator, changes, words",
    [
        ("h100-8", {}, "--accelerator=h100-8 with --backend=tpu_vm"),
        ("v5e-16", {}, "--accelerator=v5e-16 has 4 hosts"),
        ("v5e-8", {"image": ""}, "--image is missing"),
    ],
)
def test_what_a_tpu_vm_cannot_run(
    accelerator: str, changes: dict[str, str], words: str, tpu_vm: TpuVm
) -> None:
    with pytest.raises(LaunchError, match=words):
        tpu_vm.render(a_job(accelerator, **changes))


@pytest.mark.parametrize("accelerator, runtime", [("v5p-8", "tpuv5"), ("v6e-8", "tpuv6e")])
def test_generations(accelerator: str, runtime: str, tpu_vm: TpuVm) -> None:
    node = _node(json.loads(tpu_vm.render(a_job(accelerator))))
    assert node["acceleratorType"] == accelerator
    assert node["runtimeVersion"] == f"v2-alpha-{runtime}"


BY_SERVICE, BY_USER = Initiator.SERVICE, Initiator.USER
GOING_DOWN = {"state": "waiting", "detail": "the VM goes down; exit code 143", "seconds": 5}
FAILED = {"state": "failed", "detail": "exit code 2", "seconds": 5}
ASKED = {"state": "cancelled", "detail": "exit code 143, cancelled", "seconds": 5}
STATES = [
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
]


@pytest.mark.parametrize("state, initiator, report, vm, expected, words", STATES)
def test_status_through_all_states(
    state: State,
    initiator: Initiator,
    report: dict[str, Any] | None,
    vm: str | None,
    expected: str,
    words: str,
    api: TpuApi,
    bucket: Bucket,
    tpu_vm: TpuVm,
) -> None:
    assert {case[0] for case in STATES} == set(State), "the client has a new one: look at it"
    tpu_vm.submit(a_tpu_job())
    api.put("mnist", state, initiator)
    if state is State.FAILED:
        failed = {"error": status_pb2.Status(code=3, message="no such runtime")}
        api.resources[f"{PARENT}/queuedResources/mnist"].state.failed_data = failed
    if state is State.DELETING:
        api.polls_of_deletion = 1
    if vm:
        api.vms[f"{PARENT}/nodes/mnist"] = tpu.Node.State[vm]
    bucket.says(report)
    status = tpu_vm.status("mnist")
    assert (status.job_id, status.state) == ("mnist", JobState(expected))
    assert status.created == "2026-11-24T10:00:00+00:00" and words in status.detail
