"""Jobs on TPU VMs: queued resources of the TPU API, whose VM runs tpu_vm_startup.sh."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from google.api_core import exceptions
from google.auth.exceptions import TransportError
from google.cloud import storage
from google.cloud import tpu_v2alpha1 as tpu
from google.protobuf import json_format

from launch.backend import JobState, JobStatus
from launch.errors import LaunchError, ServiceError
from launch.google_api import naming_refusals
from launch.job import JobSpec
from launch.queued_resource import ResourceStatus, create_request, launch_folder, status_of, told
from launch.run_folder import RunFolder

_POLL_SECONDS = 30
_DELETION_POLLS = 20
_PATIENCE = 20  # times that a service which does not answer is asked again
_SILENCE = (exceptions.ServerError, exceptions.RetryError, TransportError, OSError)
_STORAGE_ROLE = "roles/storage.objectUser"
_Answer = TypeVar("_Answer")


class TpuVm:
    """The jobs in one zone; a job's id is its name."""

    def __init__(
        self,
        project: str,
        zone: str,
        service_account: str = "",
        runtime_version: str = "",
        client: tpu.TpuClient | None = None,
        storage_client: storage.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Sets where jobs run, by the flags of these names.

        The clients take the place of those with the default credentials.
        """
        self.project = project
        self.zone = zone
        self.parent = f"projects/{project}/locations/{zone}"
        self.service_account = service_account
        self.runtime_version = runtime_version
        self.given_clients = client, storage_client
        self.sleep = sleep

    def render(self, job: JobSpec) -> str:
        """The request for a queued resource, as JSON."""
        request = tpu.CreateQueuedResourceRequest.pb(self._request(job))
        return f"{json_format.MessageToJson(request, sort_keys=True)}\n"

    def submit(self, job: JobSpec) -> str:
        """Asks for a VM that runs the job; a job of the same name that is over is forgotten."""
        request = self._request(job)
        found = self._find(job.name)
        if found and not self._status_of(found).status.state.is_final:
            raise LaunchError(
                f"--name={job.name}: a job of this name is not over; cancel it, take another "
                "--name, or give --watch to go on watching it."
            )
        if found:
            self._delete(job.name)
        with self._naming(f"clearing {launch_folder(job)}", _STORAGE_ROLE):
            RunFolder(launch_folder(job), self.storage_client).clear()
        self._create(request)
        return job.name

    def watch(self, job: JobSpec, max_restarts: int) -> JobStatus:
        """Sees a job to its end, on at most `max_restarts` new VMs where one was taken away.

        It is submitted, unless the same job is there already.
        """
        request = self._request(job)
        self._join_or_submit(job, request)
        restarts, last = 0, None
        while True:
            state = self._patiently(lambda: self._look(job.name))
            status = state.status
            if status != last:
                last = status
                _say(f"{job.name} is {status.state.value}: {status.detail}")
            if state.taken_away and restarts < max_restarts:
                restarts += 1
                _say(f"asking for a new VM, {restarts} of at most {max_restarts}")
                self._patiently(lambda: self._delete(job.name))
                self._patiently(lambda: self._create(request))
            elif status.state.is_final:
                # It deletes itself, unless its account may not.
                with contextlib.suppress(exceptions.ClientError):
                    self.client.delete_node(name=self._vm_name(job.name))
                return status
            else:
                self.sleep(_POLL_SECONDS)

    def status(self, job_id: str) -> JobStatus:
        """Where a job stands, by the TPU API and by what its VM has reported."""
        return self._status_of(self._get(job_id)).status

    def list(self) -> list[JobStatus]:
        """The jobs in the zone that this tool started, newest first."""
        with self._naming(f"listing the jobs in {self.zone}"):
            every = list(self.client.list_queued_resources(parent=self.parent))
        statuses = [self._status_of(resource).status for resource in every if told(resource)]
        return sorted(statuses, key=lambda status: status.created, reverse=True)

    def cancel(self, job_id: str) -> None:
        """Asks the VM to end the job; the second time, or where no VM runs it, deletes all."""
        resource = self._get(job_id)
        if self._status_of(resource).status.state is JobState.RUNNING:
            with self._naming(f"asking the VM of job {job_id} to end it", _STORAGE_ROLE):
                if self._folder(resource).ask_to_end():
                    return
        self._delete(job_id)

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        """What the trainer printed, on all VMs that it had."""
        resource = self._get(job_id)
        offset, rest, ended = 0, b"", not follow
        while True:
            new = self._patiently(functools.partial(self._log_since, resource, offset))
            offset += len(new)
            *lines, rest = (rest + new).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
            if ended:
                break
            self.sleep(_POLL_SECONDS)
            # Asked before the last reading, so that nothing printed in between is missed.
            ended = self._patiently(lambda: self._look(job_id)).status.state.is_final
        if rest:
            yield rest.decode(errors="replace")

    @functools.cached_property
    def client(self) -> tpu.TpuClient:
        """Of the TPU API; made late, since `render` needs no credentials."""
        return self.given_clients[0] or tpu.TpuClient()

    @functools.cached_property
    def storage_client(self) -> storage.Client:
        """Of Cloud Storage; made late too."""
        return self.given_clients[1] or storage.Client(project=self.project)

    def _request(self, job: JobSpec) -> tpu.CreateQueuedResourceRequest:
        return create_request(job, self.parent, self.service_account, self.runtime_version)

    def _join_or_submit(self, job: JobSpec, request: tpu.CreateQueuedResourceRequest) -> None:
        found = self._find(job.name)
        state = self._status_of(found) if found else None
        if not state or (state.status.state.is_final and not state.taken_away):
            self.submit(job)
        elif told(found) != told(request.queued_resource):
            raise LaunchError(
                f"--name={job.name}: another job of this name is not over; take another --name, or "
                "give the command, --image and --max_hours that it was submitted with."
            )

    def _create(self, request: tpu.CreateQueuedResourceRequest) -> None:
        with self._naming(f"submitting job {request.queued_resource_id} in {self.zone}"):
            operation = self.client.create_queued_resource(request)
            if operation.operation.done:
                operation.result()

    def _delete(self, job_id: str) -> None:
        """Deletes the VM and the queued resource, and returns when both are gone."""
        request = tpu.DeleteQueuedResourceRequest(name=self._name(job_id), force=True)
        with self._naming(f"deleting job {job_id}"), contextlib.suppress(exceptions.NotFound):
            self.client.delete_queued_resource(request)
        for _ in range(_DELETION_POLLS):
            if not self._find(job_id):
                return
            self.sleep(_POLL_SECONDS)
        raise ServiceError(f"deleting job {job_id}: it is still there; give the command again.")

    def _find(self, job_id: str) -> tpu.QueuedResource | None:
        with self._naming(f"reading job {job_id}"):
            try:
                found = self.client.get_queued_resource(name=self._name(job_id))
            except exceptions.NotFound:
                return None
        if not told(found):
            raise LaunchError(
                f"{job_id} in {self.zone} is a queued resource that this tool did not start; take "
                "another --name."
            )
        return found

    def _get(self, job_id: str) -> tpu.QueuedResource:
        found = self._find(job_id)
        if not found:
            raise ServiceError(
                f"there is no job {job_id} in {self.zone} of project {self.project}: it was "
                "deleted, or it has another name, see list."
            )
        return found

    def _look(self, job_id: str) -> ResourceStatus:
        found = self._find(job_id)
        if not found:
            return ResourceStatus(JobStatus(job_id, JobState.CANCELLED, "it was deleted"))
        return self._status_of(found)

    def _status_of(self, resource: tpu.QueuedResource) -> ResourceStatus:
        name = resource.name.rpartition("/")[2]
        vm = None
        with self._naming(f"reading what the VM of job {name} reports", _STORAGE_ROLE):
            report = self._folder(resource).report()
        if resource.state.state is tpu.QueuedResourceState.State.ACTIVE:
            with self._naming(f"reading job {name}"), contextlib.suppress(exceptions.NotFound):
                vm = self.client.get_node(name=self._vm_name(name)).state
        return status_of(resource, report, vm)

    def _log_since(self, resource: tpu.QueuedResource, offset: int) -> bytes:
        with self._naming("reading the log", _STORAGE_ROLE):
            return self._folder(resource).log_since(offset)

    def _folder(self, resource: tpu.QueuedResource) -> RunFolder:
        return RunFolder(told(resource)["launch-folder"], self.storage_client)

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Asks again for a while where the service does not answer; refusals go through."""
        for _ in range(_PATIENCE):
            try:
                return ask()
            except ServiceError as error:
                if not isinstance(error.__cause__, _SILENCE):
                    raise
                _say(str(error))
            self.sleep(_POLL_SECONDS)
        return ask()

    def _name(self, job_id: str) -> str:
        return f"{self.parent}/queuedResources/{job_id}"

    def _vm_name(self, job_id: str) -> str:
        return f"{self.parent}/nodes/{job_id}"

    def _naming(
        self, what: str, role: str = "roles/tpu.admin"
    ) -> contextlib.AbstractContextManager[None]:
        return naming_refusals(what, self.project, role)


def _say(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)
