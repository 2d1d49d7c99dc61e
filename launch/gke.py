"""Jobs on Google Kubernetes Engine: a Job for one worker, a JobSet for several."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import yaml
from kubernetes import client
from kubernetes.client import BatchV1Api, CoreV1Api, CustomObjectsApi, V1Job, V1Pod
from kubernetes.client.exceptions import ApiException

from launch import pod_logs
from launch.backend import JobStatus
from launch.errors import LaunchError, ServiceError
from launch.gke_manifests import (
    JOBSET_GROUP,
    JOBSET_VERSION,
    JOBSETS,
    NAME_LABEL,
    OWN_LABEL,
    as_plain,
    build,
)
from launch.gke_status import status_of
from launch.job import JobSpec
from launch.kubernetes_api import connect, message_of, naming_refusals, unless_missing

_OWN = "=".join(OWN_LABEL)
_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 2.0
_JOBSET_INSTALL = "https://jobset.sigs.k8s.io/docs/installation/"


class Gke:
    """Jobs in one namespace of a cluster; a job's id is its name."""

    def __init__(
        self,
        namespace: str = "default",
        *,
        context: str = "",
        queue: str = "",
        service_account: str = "",
        max_restarts: int = 3,
        api: client.ApiClient | None = None,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        """Sets where jobs run, by the flags of these names; asks for no credentials yet.

        `api` takes the place of the one that the kubeconfig describes; `logs` looks for new pods
        every `poll_seconds`.

        Raises:
            LaunchError: the number of restarts is negative.
        """
        if max_restarts < 0:
            raise LaunchError(f"--max_restarts={max_restarts}: give 0 or more.")
        self.namespace = namespace
        self.context = context
        self.queue = queue
        self.service_account = service_account
        self.max_restarts = max_restarts
        self.poll_seconds = poll_seconds
        if api is not None:
            self.api = api

    @functools.cached_property
    def api(self) -> client.ApiClient:
        """The client, made when it is first needed; raises ServiceError without a cluster."""
        return connect(self.context)

    def render(self, job: JobSpec) -> str:
        """The Job or JobSet as YAML; raises LaunchError where GKE cannot run it."""
        return yaml.safe_dump(as_plain(self._manifest(job)), sort_keys=False)

    def submit(self, job: JobSpec) -> str:
        """Creates the object and returns its name; raises LaunchError as `render` does."""
        manifest = self._manifest(job)
        if self._find_or_none(job.name) is not None:
            raise LaunchError(
                f"--name={job.name}: a job of this name is in namespace {self.namespace}, running "
                "or ended; cancel it, which deletes it, or take another --name."
            )
        # Strict, so that a field that the cluster does not know is refused and not left out.
        options: dict[str, Any] = {
            "field_validation": "Strict",
            "_request_timeout": _TIMEOUT_SECONDS,
        }
        with self._naming_refusals(f"submitting job {job.name}"):
            if isinstance(manifest, V1Job):
                BatchV1Api(self.api).create_namespaced_job(self.namespace, manifest, **options)
            else:
                with _naming_unfit_jobset():
                    CustomObjectsApi(self.api).create_namespaced_custom_object(
                        *self._jobsets, body=manifest, **options
                    )
        return job.name

    def status(self, job_id: str) -> JobStatus:
        """Where a job stands."""
        return status_of(self._find(job_id), self._pods(job_id))

    def list(self) -> list[JobStatus]:
        """The jobs of this namespace that this tool started, newest first."""
        with self._naming_refusals("listing the jobs"):
            jobs = BatchV1Api(self.api).list_namespaced_job(
                self.namespace, label_selector=_OWN, _request_timeout=_TIMEOUT_SECONDS
            )
            found = [*as_plain(jobs.items), *self._list_jobsets()]
        pods: dict[str, list[V1Pod]] = {}
        for pod in self._pods():
            pods.setdefault(pod.metadata.labels.get(NAME_LABEL, ""), []).append(pod)
        statuses = [status_of(each, pods.get(each["metadata"]["name"], [])) for each in found]
        return sorted(statuses, key=lambda status: status.created, reverse=True)

    def cancel(self, job_id: str) -> None:
        """Deletes a job; its pods are told to end and save first."""
        found = self._find(job_id)
        options: dict[str, Any] = {
            "propagation_policy": "Foreground",
            "_request_timeout": _TIMEOUT_SECONDS,
        }
        with self._naming_refusals(f"cancelling job {job_id}"):
            if found["kind"] == "Job":
                BatchV1Api(self.api).delete_namespaced_job(job_id, self.namespace, **options)
            else:
                CustomObjectsApi(self.api).delete_namespaced_custom_object(
                    *self._jobsets, job_id, **options
                )

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        """Lines of a job's pods, those of several workers with the worker's index before them."""
        found = self._find(job_id)
        shows_index = found["kind"] == "JobSet"
        with self._naming_refusals(f"reading the log of job {job_id}"):
            core = CoreV1Api(self.api)
            if not follow:
                yield from pod_logs.read(core, self._pods(job_id), shows_index)
                return
            yield from pod_logs.follow(
                core,
                lambda: self._pods(job_id),
                lambda: self._has_ended(job_id),
                shows_index,
                self.poll_seconds,
            )

    @property
    def _jobsets(self) -> tuple[str, str, str, str]:
        return (JOBSET_GROUP, JOBSET_VERSION, self.namespace, JOBSETS)

    def _manifest(self, job: JobSpec) -> V1Job | dict[str, Any]:
        return build(
            job,
            self.namespace,
            queue=self.queue,
            service_account=self.service_account,
            max_restarts=self.max_restarts,
        )

    def _naming_refusals(self, what: str) -> AbstractContextManager[None]:
        return naming_refusals(what, self.namespace)

    def _find(self, job_id: str) -> dict[str, Any]:
        """The Job or JobSet of a name; raises ServiceError where it is not this tool's."""
        found = self._find_or_none(job_id)
        if found is None:
            raise ServiceError(
                f"there is no job {job_id} in namespace {self.namespace}; a cancelled one is "
                "deleted, one that has ended a week later; see list --backend=gke."
            )
        if found["metadata"].get("labels", {}).get(OWN_LABEL[0]) != OWN_LABEL[1]:
            raise ServiceError(
                f"job {job_id} of namespace {self.namespace} was not started by this tool; use "
                "kubectl."
            )
        return found

    def _find_or_none(self, name: str) -> dict[str, Any] | None:
        with self._naming_refusals(f"looking for job {name}"):
            job = unless_missing(
                lambda: BatchV1Api(self.api).read_namespaced_job(
                    name, self.namespace, _request_timeout=_TIMEOUT_SECONDS
                )
            )
            if job is not None:
                return {**as_plain(job), "kind": "Job"}
            jobset: dict[str, Any] | None = unless_missing(
                lambda: CustomObjectsApi(self.api).get_namespaced_custom_object(
                    *self._jobsets, name, _request_timeout=_TIMEOUT_SECONDS
                )
            )
            return jobset

    def _list_jobsets(self) -> Sequence[dict[str, Any]]:
        """This tool's JobSets; none where the cluster does not know any."""
        answer = unless_missing(
            lambda: CustomObjectsApi(self.api).list_namespaced_custom_object(
                *self._jobsets, label_selector=_OWN, _request_timeout=_TIMEOUT_SECONDS
            )
        )
        return answer["items"] if answer else []

    def _pods(self, job_id: str = "") -> Sequence[V1Pod]:
        """The pods of a job, or of all."""
        selector = f"{_OWN},{NAME_LABEL}={job_id}" if job_id else _OWN
        with self._naming_refusals(f"listing the pods of {job_id or 'all jobs'}"):
            answer = CoreV1Api(self.api).list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=_TIMEOUT_SECONDS
            )
        pods: Sequence[V1Pod] = answer.items
        return pods

    def _has_ended(self, job_id: str) -> bool:
        found = self._find_or_none(job_id)
        return found is None or status_of(found, []).state.is_final


@contextlib.contextmanager
def _naming_unfit_jobset() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        message = message_of(error)
        if error.status == 404 and not message.startswith("namespaces "):
            raise ServiceError(
                "the cluster does not know JobSets, which several workers need; install JobSet "
                f"0.10.1 or newer as {_JOBSET_INSTALL} says, or leave --workers out."
            ) from error
        if error.status == 400 and "unknown field" in message:
            raise ServiceError(
                f"the cluster's JobSet is too old ({message}); update it to 0.10.1 or newer as "
                f"{_JOBSET_INSTALL} says."
            ) from error
        raise
