"""The real clients against the TPU API and Cloud Storage on this machine."""

import grpc
import pytest
from google.cloud import tpu_v2alpha1 as tpu
from google.rpc import status_pb2

from launch.backend import JobState
from launch.errors import LaunchError, ServiceError
from launch.tpu_vm import TpuVm
from tests.helpers.jobs import a_tpu_job
from tests.helpers.loopback import Answer, google_error
from tests.helpers.tpu_api import (
    DONE,
    LOG,
    NOT_THERE,
    OBJECTS,
    PARENT,
    REPORT,
    RUNNING,
    Bucket,
    Initiator,
    State,
    TpuApi,
)
from tests.launch.conftest import Clock

CANCEL = f"{OBJECTS}/runs%2Fmnist%2Flaunch%2Fcancel"


def test_a_name_is_free_once_more(api: TpuApi, bucket: Bucket, clock: Clock, tpu_vm: TpuVm) -> None:
    tpu_vm.submit(a_tpu_job())
    with pytest.raises(LaunchError, match="--name=mnist: a job of this name is not over"):
        tpu_vm.submit(a_tpu_job())
    api.put("mnist", State.SUSPENDED, Initiator.USER)
    bucket.says(DONE)
    bucket.on("GET", OBJECTS, {"items": [{"name": "runs/mnist/launch/worker-0.json"}]})
    old = f"{OBJECTS}/runs%2Fmnist%2Flaunch%2Fworker-0.json"
    bucket.on("DELETE", old, Answer(b"", 204))
    api.polls_of_deletion = 2
    clock.events = [lambda: None, lambda: None]
    tpu_vm.submit(a_tpu_job())
    (deletion,) = api.calls("DeleteQueuedResource")
    assert deletion.force and deletion.name == f"{PARENT}/queuedResources/mnist"
    assert len(bucket.received("DELETE", old)) == 1
    (_, listing) = bucket.received("GET", OBJECTS)
    assert listing.query["prefix"] == "runs/mnist/launch/"
    assert len(api.calls("CreateQueuedResource")) == 2 and not clock.events


def test_a_deletion_that_does_not_end(api: TpuApi, clock: Clock, tpu_vm: TpuVm) -> None:
    tpu_vm.submit(a_tpu_job())
    api.polls_of_deletion = 1000
    clock.events = [lambda: None] * 1000
    with pytest.raises(ServiceError, match="still there"):
        tpu_vm.cancel("mnist")


def test_what_others_queued_is_left_alone(api: TpuApi, tpu_vm: TpuVm) -> None:
    foreign = tpu.QueuedResource(name=f"{PARENT}/queuedResources/mnist")
    api.resources[foreign.name] = foreign
    for forbidden in (lambda: tpu_vm.submit(a_tpu_job()), lambda: tpu_vm.cancel("mnist")):
        with pytest.raises(LaunchError, match="did not start"):
            forbidden()
    assert tpu_vm.list() == []


def test_cancel(api: TpuApi, bucket: Bucket, tpu_vm: TpuVm) -> None:
    tpu_vm.submit(a_tpu_job())
    api.put("mnist", State.ACTIVE)
    bucket.says(RUNNING)
    bucket.on("GET", CANCEL, NOT_THERE, {"name": "runs/mnist/launch/cancel"})
    bucket.on("POST", f"/upload{OBJECTS}", {"name": "runs/mnist/launch/cancel"})
    tpu_vm.cancel("mnist")
    (upload,) = bucket.received("POST", f"/upload{OBJECTS}")
    assert '"name": "runs/mnist/launch/cancel"' in upload.body
    assert not api.calls("DeleteQueuedResource"), "the VM ends it, after it has saved"
    tpu_vm.cancel("mnist")
    assert api.calls("DeleteQueuedResource")[0].force
    with pytest.raises(ServiceError, match="there is no job mnist in us-west4-a"):
        tpu_vm.cancel("mnist")


def test_what_has_no_vm_is_deleted_at_once(api: TpuApi, bucket: Bucket, tpu_vm: TpuVm) -> None:
    tpu_vm.submit(a_tpu_job())
    tpu_vm.cancel("mnist")
    assert not api.resources and not bucket.received("POST", f"/upload{OBJECTS}")


def test_list(api: TpuApi, bucket: Bucket, tpu_vm: TpuVm) -> None:
    for name in ("first", "second", "third"):
        tpu_vm.submit(a_tpu_job(name=name))
    foreign = api.resources[f"{PARENT}/queuedResources/second"].tpu.node_spec[0].node
    del foreign.labels["launched-by"]
    assert [(status.job_id, status.created) for status in tpu_vm.list()] == [
        ("third", "2026-11-24T10:00:02+00:00"),
        ("first", "2026-11-24T10:00:00+00:00"),
    ]
    assert len(api.calls("ListQueuedResources")) == 3, "a page each"


def test_logs(api: TpuApi, bucket: Bucket, tpu_vm: TpuVm) -> None:
    tpu_vm.submit(a_tpu_job())
    assert list(tpu_vm.logs("mnist", follow=False)) == []
    bucket.on("GET", LOG, Answer(b"one\ntw\xc3\xb6\nthr"))
    assert list(tpu_vm.logs("mnist", follow=False)) == ["one", "twö", "thr"]


def test_logs_are_followed(api: TpuApi, bucket: Bucket, clock: Clock, tpu_vm: TpuVm) -> None:
    tpu_vm.submit(a_tpu_job())
    nothing_new = google_error(416, "OUT_OF_RANGE", "Range Not Satisfiable")
    bucket.on(
        "GET", LOG, NOT_THERE, Answer(b"one\ntw", 206), nothing_new, Answer(b"o\nthree\n", 206)
    )
    clock.events = [
        lambda: (api.put("mnist", State.ACTIVE), bucket.says(RUNNING)),
        lambda: api.failures.append((grpc.StatusCode.UNAVAILABLE, "try later")),
        lambda: None,
        lambda: bucket.says(DONE),
    ]
    assert list(tpu_vm.logs("mnist", follow=True)) == ["one", "two", "three"]
    ranges = [request.headers.get("range") for request in bucket.received("GET", LOG)]
    assert ranges[1:] == ["bytes=0-", "bytes=6-", "bytes=6-"]


def test_a_refusal_by_the_tpu_api(api: TpuApi, tpu_vm: TpuVm) -> None:
    api.failures.append((grpc.StatusCode.PERMISSION_DENIED, "its own words"))
    with pytest.raises(ServiceError, match=r"its own words\).* my-project .*roles/tpu.admin\.$"):
        tpu_vm.list()


def test_a_refusal_when_the_operation_ends_at_once(api: TpuApi, tpu_vm: TpuVm) -> None:
    api.create_error = status_pb2.Status(code=8, message="no v5e left in your quota")
    with pytest.raises(ServiceError, match=r"quota is used up \(.*no v5e left in your quota"):
        tpu_vm.submit(a_tpu_job())


def test_a_cut_connection(api: TpuApi, tpu_vm: TpuVm) -> None:
    api.server.stop(0).wait()
    with pytest.raises(ServiceError, match="did not answer as it should"):
        tpu_vm.list()


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
    status: int, words: str, api: TpuApi, bucket: Bucket, tpu_vm: TpuVm
) -> None:
    bucket.on("GET", OBJECTS, google_error(status, "REFUSED", "no"))
    with pytest.raises(ServiceError, match=words):
        tpu_vm.submit(a_tpu_job())
    assert not api.resources, "asked before anything costs money"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_bucket_is_asked_again(
    status: int, bucket: Bucket, tpu_vm: TpuVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    tpu_vm.submit(a_tpu_job())
    bucket.on("GET", REPORT, google_error(status, "BUSY", "later"), NOT_THERE)
    assert tpu_vm.status("mnist").state is JobState.WAITING
