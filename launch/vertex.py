"""Jobs on Vertex AI: a CustomJob each."""

import functools
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC

from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.cloud import logging
from google.cloud.aiplatform_v1 import JobServiceClient, types
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson

from launch.backend import JobState, JobStatus
from launch.catalog import Accelerator
from launch.cloud_logging import LATE, JobLog
from launch.errors import LaunchError
from launch.google_api import naming_refusals
from launch.job import JobSpec, check_for_cloud

_ROLE = "roles/aiplatform.user"
_LOG_ROLE = "roles/logging.viewer"
_OWN_LABEL = {"launcher": "dcgan-trainer"}
_TENSORBOARD = re.compile(r"projects/[^/]+/locations/[^/]+/tensorboards/[^/]+")
_POLL_SECONDS = 5.0
# Only for what may be asked twice: never for a submission.
_RETRY = Retry(initial=1.0, maximum=10.0, timeout=60.0)
_TIMEOUT_SECONDS = 30.0

_STATES = {
    types.JobState.JOB_STATE_UNSPECIFIED: JobState.WAITING,
    types.JobState.JOB_STATE_QUEUED: JobState.WAITING,
    types.JobState.JOB_STATE_PENDING: JobState.WAITING,
    types.JobState.JOB_STATE_PAUSED: JobState.WAITING,
    types.JobState.JOB_STATE_RUNNING: JobState.RUNNING,
    types.JobState.JOB_STATE_UPDATING: JobState.RUNNING,
    types.JobState.JOB_STATE_CANCELLING: JobState.RUNNING,
    types.JobState.JOB_STATE_SUCCEEDED: JobState.SUCCEEDED,
    types.JobState.JOB_STATE_PARTIALLY_SUCCEEDED: JobState.FAILED,
    types.JobState.JOB_STATE_FAILED: JobState.FAILED,
    types.JobState.JOB_STATE_EXPIRED: JobState.FAILED,
    types.JobState.JOB_STATE_CANCELLED: JobState.CANCELLED,
}


class Vertex:
    """Jobs of one project and region; a job's id is Vertex AI's number."""

    def __init__(
        self,
        project: str,
        region: str,
        *,
        service_account: str = "",
        tensorboard: str = "",
        client: JobServiceClient | None = None,
        log_client: logging.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Sets where jobs run, by the flags of these names; asks for no credentials yet.

        The clients take the place of those with Application Default Credentials.

        Raises:
            LaunchError: the region is none, or the TensorBoard resource cannot be used.
        """
        if not re.fullmatch(r"[a-z]+-[a-z]+[0-9]+", region):
            raise LaunchError(f"--region={region}: give a region, such as us-west4, not a zone.")
        if tensorboard and not _TENSORBOARD.fullmatch(tensorboard):
            raise LaunchError(
                f"--tensorboard={tensorboard}: give the whole name, "
                "projects/NUMBER/locations/REGION/tensorboards/NUMBER, which `gcloud ai "
                "tensorboards list` prints."
            )
        if tensorboard and not service_account:
            raise LaunchError(
                "--tensorboard needs --service_account: Vertex AI passes events on only for a job "
                "with a service account of yours, with roles/storage.admin and "
                "roles/aiplatform.user."
            )
        self.project = project
        self.region = region
        self.service_account = service_account
        self.tensorboard = tensorboard
        self.sleep = sleep
        self._given_client = client
        self._given_log_client = log_client

    def render(self, job: JobSpec) -> str:
        """The request as JSON; its customJob is the body that goes to its parent."""
        return MessageToJson(types.CreateCustomJobRequest.pb(self._request(job))) + "\n"

    def submit(self, job: JobSpec) -> str:
        """Starts a job and returns its number."""
        request = self._request(job)
        with self._naming_refusals(
            f"submitting job {job.name}",
            again="see with list whether it was started, before you submit it again",
        ):
            created = self._client.create_custom_job(request=request, timeout=_TIMEOUT_SECONDS)
        return _number(created)

    def status(self, job_id: str) -> JobStatus:
        """Where a job stands."""
        return _status(self._get(job_id))

    def list(self) -> list[JobStatus]:
        """The jobs that this tool started in this region, newest first."""
        ((key, value),) = _OWN_LABEL.items()
        request = types.ListCustomJobsRequest(parent=self._parent, filter=f'labels.{key}="{value}"')
        with self._naming_refusals("listing jobs"):
            found = [
                _status(job)
                for job in self._client.list_custom_jobs(
                    request=request, retry=_RETRY, timeout=_TIMEOUT_SECONDS
                )
            ]
        return sorted(found, key=lambda status: status.created, reverse=True)

    def cancel(self, job_id: str) -> None:
        """Ends a job as soon as Vertex AI can."""
        with self._naming_refusals(f"cancelling job {job_id}"):
            self._client.cancel_custom_job(
                name=self._name(job_id), retry=_RETRY, timeout=_TIMEOUT_SECONDS
            )

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        """Lines of a job's workers; with `follow` until it has ended."""
        job = self._get(job_id)
        with self._naming_log_refusals(job_id):
            log = JobLog(self._log_client, job_id, job.create_time, _RETRY)
        going_on = follow and not _status(job).state.is_final
        while going_on:
            yield from self._unread(log)
            self.sleep(_POLL_SECONDS)
            going_on = not self.status(job_id).state.is_final
            if not going_on:
                # The last lines come late.
                self.sleep(LATE.total_seconds())
        yield from self._unread(log)

    def _unread(self, log: JobLog) -> Iterator[str]:
        with self._naming_log_refusals(log.job_id):
            lines = log.unread()
        yield from lines

    def _get(self, job_id: str) -> types.CustomJob:
        with self._naming_refusals(f"asking for job {job_id}"):
            return self._client.get_custom_job(
                name=self._name(job_id), retry=_RETRY, timeout=_TIMEOUT_SECONDS
            )

    def _request(self, job: JobSpec) -> types.CreateCustomJobRequest:
        _check(job)
        custom_job = types.CustomJob(
            display_name=job.name,
            labels={**job.labels, **_OWN_LABEL},
            job_spec=types.CustomJobSpec(
                worker_pool_specs=_worker_pools(job),
                scheduling=_scheduling(job),
                service_account=self.service_account,
                tensorboard=self.tensorboard,
                base_output_directory=types.GcsDestination(output_uri_prefix=job.run_dir),
            ),
        )
        return types.CreateCustomJobRequest(parent=self._parent, custom_job=custom_job)

    def _name(self, job_id: str) -> str:
        if not re.fullmatch(r"[0-9]+", job_id):
            raise LaunchError(f"JOB={job_id}: give the number that submit printed.")
        return f"{self._parent}/customJobs/{job_id}"

    @property
    def _parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"

    # Made when they are first needed, so that render works without credentials.

    @functools.cached_property
    def _client(self) -> JobServiceClient:
        endpoint = ClientOptions(api_endpoint=f"{self.region}-aiplatform.googleapis.com")
        return self._given_client or JobServiceClient(transport="rest", client_options=endpoint)

    @functools.cached_property
    def _log_client(self) -> logging.Client:
        return self._given_log_client or logging.Client(project=self.project, _use_grpc=False)

    def _naming_refusals(self, what: str, **again: str) -> AbstractContextManager[None]:
        where = f"{what} on Vertex AI in {self.region}"
        return naming_refusals(where, self.project, _ROLE, **again)

    def _naming_log_refusals(self, job_id: str) -> AbstractContextManager[None]:
        return naming_refusals(f"reading logs of job {job_id}", self.project, _LOG_ROLE)


def _check(job: JobSpec) -> None:
    check_for_cloud(job)
    accelerator = job.accelerator
    if accelerator.kind != "tpu":
        return
    refused = f"--accelerator={accelerator.name} with --backend=vertex"
    if not accelerator.name.startswith("v5e-"):
        raise LaunchError(
            f"{refused}: Vertex AI trains with TensorFlow on TPU v5e only; take v5e-8 or less, or "
            "--backend=gke or tpu_vm."
        )
    if accelerator.hosts > 1:
        # On several hosts TensorFlow needs Vertex AI's own image, tf-tpu-pod-base.
        raise LaunchError(
            f"{refused}: TensorFlow on several hosts of a TPU needs an image of Vertex AI's there "
            "that has Python 3.10, too old for this trainer; take v5e-8 or less."
        )


def _worker_pools(job: JobSpec) -> list[types.WorkerPoolSpec]:
    """The chief alone, then the others: of this Vertex AI makes each worker's TF_CONFIG."""
    return [
        types.WorkerPoolSpec(
            machine_spec=_machine(job.accelerator),
            replica_count=replicas,
            container_spec=types.ContainerSpec(image_uri=job.image, command=job.command()),
        )
        for replicas in (1, job.workers - 1)
        if replicas
    ]


def _machine(accelerator: Accelerator) -> types.MachineSpec:
    machine = types.MachineSpec(machine_type=accelerator.machine_type)
    if accelerator.kind == "gpu":
        machine.accelerator_type = types.AcceleratorType[accelerator.vertex_type]
        machine.accelerator_count = accelerator.chips
    if accelerator.kind == "tpu":
        machine.tpu_topology = accelerator.topology
    return machine


def _scheduling(job: JobSpec) -> types.Scheduling:
    strategy = types.Scheduling.Strategy
    return types.Scheduling(
        timeout=Duration(seconds=math.ceil(job.max_hours * 3600)),
        # Workers that train together cannot take one back that was gone for a while.
        restart_job_on_worker_restart=True,
        # disable_retries stays false: it would undo the line above, and end a job whose
        # spot machine was taken away.
        strategy=strategy.SPOT if job.spot else strategy.STANDARD,
    )


def _status(job: types.CustomJob) -> JobStatus:
    detail = f"{job.display_name}: {job.state.name.removeprefix('JOB_STATE_')}"
    if job.error.message:
        detail = f"{detail}, {job.error.message}"
    return JobStatus(
        job_id=_number(job),
        state=_STATES[job.state],
        detail=detail,
        created=job.create_time.astimezone(UTC).isoformat(timespec="milliseconds"),
    )


def _number(job: types.CustomJob) -> str:
    return job.name.rpartition("/")[2]
