"""A job as a queued resource of the TPU API, and what its state means; no network."""

import dataclasses
import math
import shlex
from pathlib import Path

from google.cloud import tpu_v2alpha1 as tpu

from launch.backend import JobState, JobStatus
from launch.errors import LaunchError
from launch.job import JobSpec, check_for_cloud
from launch.run_folder import Report

_LABEL, _LABEL_VALUE = "launched-by", "dcgan-trainer"
_STARTUP_SCRIPT = Path(__file__).with_name("tpu_vm_startup.sh")
_State = tpu.QueuedResourceState.State
_BEFORE_THE_VM = (
    _State.STATE_UNSPECIFIED,
    _State.CREATING,
    _State.ACCEPTED,
    _State.WAITING_FOR_RESOURCES,
    _State.PROVISIONING,
)
_GONE = (tpu.Node.State.PREEMPTED, tpu.Node.State.TERMINATED)


@dataclasses.dataclass(frozen=True)
class ResourceStatus:
    """Where a job stands, and whether it only lacks a new VM."""

    status: JobStatus
    taken_away: bool = False


def create_request(
    job: JobSpec, parent: str, service_account: str, runtime_version: str
) -> tpu.CreateQueuedResourceRequest:
    """The request that starts a job, whose name becomes the queued resource's and the VM's.

    `parent` is such as `projects/PROJECT/locations/ZONE`. An empty service account is Compute
    Engine's default one, an empty runtime version the catalog's.

    Raises:
        LaunchError: a TPU VM cannot run this job.
    """
    check_for_cloud(job)
    _check_accelerator(job)
    node = tpu.Node(
        accelerator_type=job.accelerator.tpu_vm_type,
        runtime_version=runtime_version or job.accelerator.tpu_vm_runtime,
        # Without them only networks with Private Google Access reach the registry.
        network_config=tpu.NetworkConfig(enable_external_ips=True),
        labels={**job.labels, _LABEL: _LABEL_VALUE},
        metadata={
            "startup-script": _STARTUP_SCRIPT.read_text(encoding="utf-8"),
            # Runs when the VM goes down; the trainer saves at SIGTERM.
            "shutdown-script": "docker stop trainer\n",
            "launch-image": job.image,
            "launch-command": shlex.join(job.command()),
            "launch-folder": launch_folder(job),
            "launch-max-seconds": str(math.ceil(job.max_hours * 3600)),
            "launch-node": f"{parent}/nodes/{job.name}",
        },
    )
    if service_account:
        node.service_account = tpu.ServiceAccount(email=service_account)
    spec = tpu.QueuedResource.Tpu.NodeSpec(parent=parent, node_id=job.name, node=node)
    resource = tpu.QueuedResource(tpu=tpu.QueuedResource.Tpu(node_spec=[spec]))
    if job.spot:
        resource.spot = tpu.QueuedResource.Spot()
    return tpu.CreateQueuedResourceRequest(
        parent=parent, queued_resource_id=job.name, queued_resource=resource
    )


def launch_folder(job: JobSpec) -> str:
    """Where the job's VM reports to."""
    return f"{job.run_dir.rstrip('/')}/launch"


def told(resource: tpu.QueuedResource) -> dict[str, str]:
    """What the VM of a job is told to run; empty where this tool did not start it."""
    specs = resource.tpu.node_spec
    if not specs or specs[0].node.labels.get(_LABEL) != _LABEL_VALUE:
        return {}
    metadata = specs[0].node.metadata
    return {key: metadata[key] for key in metadata if key.startswith("launch-")}


def status_of(
    resource: tpu.QueuedResource, report: Report | None, vm: tpu.Node.State | None
) -> ResourceStatus:
    """Puts together what the TPU API says of a job and of its VM, and the VM's last report."""
    cloud = resource.state.state
    created = resource.create_time.isoformat(timespec="seconds") if resource.create_time else ""

    def status(state: JobState, detail: str, taken_away: bool = False) -> ResourceStatus:
        name = resource.name.rpartition("/")[2]
        return ResourceStatus(JobStatus(name, state, detail, created), taken_away)

    if cloud in _BEFORE_THE_VM:
        return status(JobState.WAITING, cloud.name)
    if report and report.state.is_final:
        left_over = "; its VM is not deleted yet (cancel would)" if cloud is _State.ACTIVE else ""
        return status(report.state, f"{report.detail}{left_over}")
    if cloud is _State.ACTIVE and vm not in _GONE:
        if report is None:
            return status(JobState.RUNNING, "the VM starts")
        return status(report.state, report.detail or cloud.name)
    if cloud is _State.SUSPENDING:
        return status(JobState.WAITING, cloud.name)
    by_user = resource.state.state_initiator is tpu.QueuedResourceState.StateInitiator.USER
    if cloud is _State.DELETING or (cloud is _State.SUSPENDED and by_user):
        return status(JobState.CANCELLED, f"{cloud.name}: its VM was deleted")
    if cloud is _State.FAILED and report is None:
        return status(JobState.FAILED, f"FAILED: {resource.state.failed_data.error.message}")
    return status(
        JobState.FAILED,
        f"{cloud.name}: its VM was taken away; submit --watch takes a new one and goes on",
        taken_away=True,
    )


def _check_accelerator(job: JobSpec) -> None:
    accelerator = job.accelerator
    if accelerator.kind != "tpu":
        raise LaunchError(
            f"--accelerator={accelerator.name} with --backend=tpu_vm: there are only TPUs; take "
            "one, such as v5e-8, or another backend."
        )
    if accelerator.hosts > 1:
        raise LaunchError(
            f"--accelerator={accelerator.name} has {accelerator.hosts} hosts: TensorFlow reaches "
            "the others through the TensorFlow of the VMs' runtime, and none is known to have "
            "the 2.20 that the trainer needs; take a slice of one host, such as v5e-8."
        )
