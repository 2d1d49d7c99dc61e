"""A job whose VM is taken away goes on in another."""

from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.cloud import tpu_v2alpha1 as tpu

import launch.main
from launch.backend import JobState, JobStatus
from launch.errors import LaunchError, ServiceError
from launch.tpu_vm import TpuVm
from tests.helpers.jobs import a_tpu_job
from tests.helpers.tpu_api import DONE, OBJECTS, PARENT, RUNNING, Bucket, Initiator, State, TpuApi
from tests.launch.conftest import Clock


def test_a_new_vm_after_each_preemption(
    api: TpuApi, bucket: Bucket, clock: Clock, tpu_vm: TpuVm, capsys: pytest.CaptureFixture[str]
) -> None:
    def goes(
        state: State, report: dict[str, Any], initiator: Initiator = Initiator.SERVICE
    ) -> None:
        api.put("mnist", state, initiator)
        bucket.says(report)

    clock.events = [
        lambda: goes(State.ACTIVE, RUNNING),
        lambda: goes(State.SUSPENDING, RUNNING),
        lambda: goes(State.SUSPENDED, RUNNING),
        # The second one is seen by its VM alone.
        lambda: goes(State.ACTIVE, RUNNING),
        lambda: api.vms.update({f"{PARENT}/nodes/mnist": tpu.Node.State.PREEMPTED}),
        lambda: (api.vms.clear(), goes(State.ACTIVE, RUNNING)),
        lambda: goes(State.SUSPENDED, DONE, Initiator.USER),
    ]
    status = tpu_vm.watch(a_tpu_job(spot=True), max_restarts=3)
    assert status.state is JobState.SUCCEEDED and not clock.events
    creations = api.calls("CreateQueuedResource")
    assert len(creations) == 3 and creations[0] == creations[1] == creations[2]
    assert [request.force for request in api.calls("DeleteQueuedResource")] == [True, True]
    assert len(bucket.received("GET", OBJECTS)) == 1, "the log and the hours used are kept"
    assert len(api.calls("DeleteNode")) == 1, "the VM may not have had the right to"
    said = capsys.readouterr().err
    assert "asking for a new VM, 2 of at most 3" in said and "mnist is succeeded" in said


def test_new_vms_are_bounded(api: TpuApi, bucket: Bucket, clock: Clock, tpu_vm: TpuVm) -> None:
    bucket.says(RUNNING)
    clock.events = [lambda: api.put("mnist", State.SUSPENDED)] * 3
    assert tpu_vm.watch(a_tpu_job(), max_restarts=2).state is JobState.FAILED
    assert len(api.calls("CreateQueuedResource")) == 3


def test_watching_a_started_job(api: TpuApi, bucket: Bucket, clock: Clock, tpu_vm: TpuVm) -> None:
    tpu_vm.submit(a_tpu_job())
    with pytest.raises(LaunchError, match="another job of this name"):
        tpu_vm.watch(a_tpu_job(trainer_arguments=("--config.train.epochs=3",)), max_restarts=1)
    api.put("mnist", State.SUSPENDED)
    clock.events = [lambda: (api.resources.clear(), bucket.says(None))]
    status = tpu_vm.watch(a_tpu_job(), max_restarts=1)
    assert (status.state, status.detail) == (JobState.CANCELLED, "it was deleted")
    assert len(api.calls("CreateQueuedResource")) == 2, "one by submit, one in place of it"
    assert len(bucket.received("GET", OBJECTS)) == 1, "the log and the hours used are kept"


def test_a_watch_outlives_silence_but_no_refusal(api: TpuApi, clock: Clock, tpu_vm: TpuVm) -> None:
    silent = (grpc.StatusCode.UNAVAILABLE, "try later")
    clock.events = [
        lambda: api.failures.extend([silent, silent]),
        lambda: None,
        lambda: None,
        lambda: api.failures.append((grpc.StatusCode.PERMISSION_DENIED, "no")),
    ]
    with pytest.raises(ServiceError, match="not allowed"):
        tpu_vm.watch(a_tpu_job(), max_restarts=1)
    assert not clock.events and not api.failures


def test_patience_ends(api: TpuApi, clock: Clock, tpu_vm: TpuVm) -> None:
    clock.events = [lambda: (api.server.stop(0).wait(), None)[1], *[lambda: None] * 30]
    with pytest.raises(ServiceError, match="did not answer"):
        tpu_vm.watch(a_tpu_job(), max_restarts=1)
    assert 5 < len(clock.events) < 15


def test_watch_flags(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
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
