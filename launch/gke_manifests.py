"""What is sent to a cluster: a Job for one worker, a JobSet for several."""

import json
import math
from typing import Any

from kubernetes import client
from kubernetes.client import (
    V1Container,
    V1EnvVar,
    V1EnvVarSource,
    V1Job,
    V1JobSpec,
    V1JobTemplateSpec,
    V1ObjectFieldSelector,
    V1ObjectMeta,
    V1PodFailurePolicy,
    V1PodFailurePolicyOnExitCodesRequirement,
    V1PodFailurePolicyOnPodConditionsPattern,
    V1PodFailurePolicyRule,
    V1PodSpec,
    V1PodTemplateSpec,
    V1ResourceRequirements,
    V1SecurityContext,
    V1Toleration,
)

from launch.catalog import Accelerator
from launch.errors import LaunchError
from launch.job import JobSpec, check_for_cloud

JOBSET_GROUP, JOBSET_VERSION, JOBSETS = "jobset.x-k8s.io", "v1alpha2", "jobsets"
OWN_LABEL = ("app.kubernetes.io/managed-by", "dcgan-trainer")
NAME_LABEL = "app.kubernetes.io/instance"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
CONTAINER = "trainer"

_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_REPLICATED_JOB = "worker"
_INDEX = "JOB_COMPLETION_INDEX"
_PORT = 2222
# The trainer's exit codes: bad usage or input, where a new start would only do the same; and
# told to end, where it has saved and goes on at a new start.
_BAD_INPUT, _TOLD_TO_END = 2, 143
# A step, a checkpoint and its way to gs://. GKE gives a spot machine less, whatever is asked.
_GRACE_SECONDS = 120
_KEPT_SECONDS = 7 * 24 * 3600
# Fits, and fills, the n2-standard-16 of the catalog beside the cluster's own pods.
_CPU_REQUESTS = {"cpu": "14", "memory": "48Gi"}


def build(
    job: JobSpec,
    namespace: str,
    *,
    queue: str = "",
    service_account: str = "",
    max_restarts: int = 3,
) -> V1Job | dict[str, Any]:
    """The object that runs a job: a Job, or for several workers a JobSet, an untyped one.

    The service account is Kubernetes' own, which may be bound to one of Google Cloud.

    Raises:
        LaunchError: the job cannot run on GKE.
    """
    check_for_cloud(job)
    _check_hosts(job.accelerator)
    metadata = V1ObjectMeta(
        name=job.name,
        namespace=namespace,
        labels=_labels(job) | ({_QUEUE_LABEL: queue} if queue else {}),
    )
    # Kueue lets a job start by ending this.
    suspend = True if queue else None
    if job.workers > 1:
        return _jobset(job, metadata, service_account, suspend, max_restarts)
    return V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=metadata,
        spec=V1JobSpec(
            suspend=suspend,
            active_deadline_seconds=_deadline(job),
            ttl_seconds_after_finished=_KEPT_SECONDS,
            backoff_limit=max_restarts,
            # A pod that was interrupted starts again, which is not counted as a failure.
            pod_failure_policy=_pod_failure_policy(when_interrupted="Ignore"),
            template=_pod(job, service_account, []),
        ),
    )


def as_plain(manifest: Any) -> Any:
    """The same in dicts, lists and texts, as it is sent."""
    return client.ApiClient(client.Configuration()).sanitize_for_serialization(manifest)


def _check_hosts(accelerator: Accelerator) -> None:
    if accelerator.hosts > 1:
        family = accelerator.name.split("-")[0]
        raise LaunchError(
            f"--accelerator={accelerator.name} with --backend=gke: TensorFlow drives a TPU slice "
            f"of {accelerator.hosts} hosts through servers that only the Cloud TPU API's own "
            f"`-pod` runtimes start, and GKE has none; take a slice of one host, {family}-8."
        )


def _jobset(
    job: JobSpec,
    metadata: V1ObjectMeta,
    service_account: str,
    suspend: bool | None,
    max_restarts: int,
) -> dict[str, Any]:
    template = V1JobTemplateSpec(
        spec=V1JobSpec(
            active_deadline_seconds=_deadline(job),
            completion_mode="Indexed",
            completions=job.workers,
            parallelism=job.workers,
            # Workers cannot go on without one another: the first that fails ends the Job, and
            # the JobSet starts all of them again.
            backoff_limit=0,
            pod_failure_policy=_pod_failure_policy(when_interrupted="FailJob"),
            template=_pod(job, service_account, _group_variables(job)),
        )
    )
    spec = {
        "suspend": suspend,
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
        # A headless service of the JobSet's name, which gives every pod an address before it
        # is ready.
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        "failurePolicy": {"maxRestarts": max_restarts, "rules": _jobset_failure_rules()},
        "replicatedJobs": [
            {"name": _REPLICATED_JOB, "replicas": 1, "template": as_plain(template)}
        ],
    }
    return {
        "apiVersion": f"{JOBSET_GROUP}/{JOBSET_VERSION}",
        "kind": "JobSet",
        "metadata": as_plain(metadata),
        "spec": {name: value for name, value in spec.items() if value is not None},
    }


def _jobset_failure_rules() -> list[dict[str, Any]]:
    """The first rule that fits is taken; where none does, a restart that is counted."""
    by_policy = {"onJobFailureReasons": ["PodFailurePolicy"]}
    return [
        {
            "name": "maxHoursAreOver",
            "action": "FailJobSet",
            "onJobFailureReasons": ["DeadlineExceeded"],
        },
        {
            # Kubernetes gives every rule of a pod failure policy the same reason; only its
            # message tells them apart.
            "name": "badInput",
            "action": "FailJobSet",
            **by_policy,
            "onJobFailureMessagePatterns": [f".*failed with exit code {_BAD_INPUT} matching.*"],
        },
        {"name": "interrupted", "action": "RestartJobSetAndIgnoreMaxRestarts", **by_policy},
    ]


def _pod_failure_policy(when_interrupted: str) -> V1PodFailurePolicy:
    return V1PodFailurePolicy(
        rules=[
            V1PodFailurePolicyRule(action="FailJob", on_exit_codes=_exit_code(_BAD_INPUT)),
            V1PodFailurePolicyRule(
                action=when_interrupted,
                on_pod_conditions=[
                    V1PodFailurePolicyOnPodConditionsPattern(
                        # Older clusters do not take this for granted.
                        type="DisruptionTarget",
                        status="True",
                    )
                ],
            ),
            V1PodFailurePolicyRule(action=when_interrupted, on_exit_codes=_exit_code(_TOLD_TO_END)),
        ]
    )


def _exit_code(code: int) -> V1PodFailurePolicyOnExitCodesRequirement:
    return V1PodFailurePolicyOnExitCodesRequirement(
        container_name=CONTAINER, operator="In", values=[code]
    )


def _pod(job: JobSpec, service_account: str, variables: list[V1EnvVar]) -> V1PodTemplateSpec:
    container = V1Container(
        name=CONTAINER,
        image=job.image,
        # Kubernetes takes $(NAME) for a variable, and $$ for the character.
        command=[part.replace("$", "$$") for part in job.command()],
        env=[V1EnvVar(name="PYTHONUNBUFFERED", value="1"), *variables],
        resources=_resources(job.accelerator),
        # Lets the TPU's driver lock memory; GKE before 1.28 also needs it for the device itself.
        security_context=(
            V1SecurityContext(privileged=True) if job.accelerator.kind == "tpu" else None
        ),
    )
    return V1PodTemplateSpec(
        metadata=V1ObjectMeta(labels=_labels(job) | {NAME_LABEL: job.name}),
        spec=V1PodSpec(
            # Kubernetes asks for this beside a pod failure policy, which does the restarting.
            restart_policy="Never",
            termination_grace_period_seconds=_GRACE_SECONDS,
            service_account_name=service_account or None,
            node_selector=_node_selector(job) or None,
            tolerations=_tolerations(job) or None,
            containers=[container],
        ),
    )


def _group_variables(job: JobSpec) -> list[V1EnvVar]:
    """TF_CONFIG of every worker; the kubelet puts the worker's own index into it."""
    workers = [
        f"{job.name}-{_REPLICATED_JOB}-0-{index}.{job.name}:{_PORT}" for index in range(job.workers)
    ]
    cluster = json.dumps({"worker": workers})
    index = V1EnvVarSource(
        field_ref=V1ObjectFieldSelector(field_path=f"metadata.annotations['{INDEX_ANNOTATION}']")
    )
    return [
        # Kubernetes sets it by itself too, but behind the others, which cannot refer to it then.
        V1EnvVar(name=_INDEX, value_from=index),
        V1EnvVar(
            name="TF_CONFIG",
            value=f'{{"cluster": {cluster}, "task": {{"type": "worker", "index": $({_INDEX})}}}}',
        ),
    ]


def _resource(accelerator: Accelerator) -> str:
    return {"tpu": "google.com/tpu", "gpu": "nvidia.com/gpu"}.get(accelerator.kind, "")


def _resources(accelerator: Accelerator) -> V1ResourceRequirements:
    resource = _resource(accelerator)
    if not resource:
        return V1ResourceRequirements(requests=_CPU_REQUESTS)
    wanted = {resource: str(accelerator.chips_per_host)}
    return V1ResourceRequirements(requests=wanted, limits=wanted)


def _node_selector(job: JobSpec) -> dict[str, str]:
    accelerator, selector = job.accelerator, {}
    if accelerator.kind == "tpu":
        selector["cloud.google.com/gke-tpu-accelerator"] = accelerator.gke_label
        selector["cloud.google.com/gke-tpu-topology"] = accelerator.topology
    if accelerator.kind == "gpu":
        selector["cloud.google.com/gke-accelerator"] = accelerator.gke_label
    if job.spot:
        selector["cloud.google.com/gke-spot"] = "true"
    return selector


def _tolerations(job: JobSpec) -> list[V1Toleration]:
    tolerations = []
    if resource := _resource(job.accelerator):
        tolerations.append(V1Toleration(key=resource, operator="Exists", effect="NoSchedule"))
    if job.spot:
        tolerations.append(
            V1Toleration(
                key="cloud.google.com/gke-spot", operator="Equal", value="true", effect="NoSchedule"
            )
        )
    return tolerations


def _labels(job: JobSpec) -> dict[str, str]:
    return {**job.labels, OWN_LABEL[0]: OWN_LABEL[1]}


def _deadline(job: JobSpec) -> int:
    return math.ceil(job.max_hours * 3600)
