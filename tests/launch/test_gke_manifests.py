import json
import re
from typing import Any

import kubernetes_validate
import pytest
import tensorflow as tf
from kubeflow_trainer_api import models

from launch.errors import LaunchError
from launch.gke_manifests import as_plain, build
from tests.helpers.jobs import a_job

_PLACES = ["cpu", "l4-1", "a100-8", "h100-8", "v5e-1", "v5e-4", "v5e-8", "v5p-8", "v6e-8"]


def _plain(*arguments: Any, **options: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = as_plain(build(*arguments, **options))
    return manifest


def _pod_of(jobset: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    return pod


@pytest.mark.parametrize("spot", [False, True])
@pytest.mark.parametrize("accelerator", _PLACES)
def test_kubernetes_schema_takes_every_job(accelerator: str, spot: bool) -> None:
    manifest = _plain(a_job(accelerator, spot=spot), "default", queue="q", service_account="s")
    kubernetes_validate.validate(manifest, "1.34", strict=True)


@pytest.mark.parametrize("accelerator", ["cpu", "l4-8", "h100-8"])
def test_jobset_models_take_every_jobset(accelerator: str) -> None:
    manifest = _plain(a_job(accelerator, workers=3, spot=True), "default", queue="q")
    parsed = models.JobsetV1alpha2JobSet.from_dict(manifest)
    # The models leave out what they do not know: nothing may be missing.
    assert _without_nothing(parsed.to_dict()) == manifest


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        found = {name: _without_nothing(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each not in (None, {})}
    return [_without_nothing(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("accelerator", ["l4-1", "h100-8"])
def test_kubernetes_schema_takes_the_job_within_a_jobset(accelerator: str) -> None:
    jobset = _plain(a_job(accelerator, workers=2), "default")
    inner = jobset["spec"]["replicatedJobs"][0]["template"]
    whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **inner}
    kubernetes_validate.validate(whole, "1.34", strict=True)


@pytest.mark.parametrize("index", [0, 2])
def test_tensorflow_reads_tf_config(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    container = _pod_of(_plain(a_job("l4-1", workers=3), "default"))["spec"]["containers"][0]
    environment = _as_kubelet(container["env"], index)
    monkeypatch.setenv("TF_CONFIG", environment["TF_CONFIG"])
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    hosts = [f"mnist-worker-0-{each}.mnist:2222" for each in range(3)]
    assert resolver.cluster_spec().as_dict() == {"worker": hosts}
    assert (resolver.task_type, resolver.task_id) == ("worker", index)


def _as_kubelet(variables: list[dict[str, Any]], index: int) -> dict[str, str]:
    """The environment: a variable may refer to those before it."""
    annotation = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    known: dict[str, str] = {}
    for variable in variables:
        if "valueFrom" in variable:
            assert variable["valueFrom"] == {"fieldRef": {"fieldPath": annotation}}
            known[variable["name"]] = str(index)
        else:
            known[variable["name"]] = _expanded(variable["value"], known)
    return known


def _expanded(text: str, known: dict[str, str]) -> str:
    """$(NAME) becomes the variable where there is one, $$ the character."""

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return known.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replacement, text)


def test_the_trainer_gets_its_arguments_as_they_were_given() -> None:
    arguments = ("--config.data.records_dir=gs://b/$(HOME)/$$/$", "--x=$(JOB_COMPLETION_INDEX)")
    spec = a_job(workers=2, trainer_arguments=arguments)
    container = _pod_of(_plain(spec, "default"))["spec"]["containers"][0]
    known = _as_kubelet(container["env"], 1)
    assert [_expanded(part, known) for part in container["command"]] == spec.command()


def test_the_time_limit_is_whole_seconds() -> None:
    assert _plain(a_job(max_hours=0.0001), "default")["spec"]["activeDeadlineSeconds"] == 1


def test_failures_start_a_job_again_as_often_as_asked() -> None:
    alone = _plain(a_job(), "default", max_restarts=7)["spec"]
    group = _plain(a_job(workers=2), "default", max_restarts=7)["spec"]
    assert alone["backoffLimit"] == group["failurePolicy"]["maxRestarts"] == 7
    assert group["replicatedJobs"][0]["template"]["spec"]["backoffLimit"] == 0


def test_a_job_on_a_cpu_asks_for_most_of_its_machine() -> None:
    pod = _plain(a_job(), "default")["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "14", "memory": "48Gi"}}
    assert "nodeSelector" not in pod
    assert "tolerations" not in pod


@pytest.mark.parametrize("accelerator", ["v5e-16", "v5p-16", "v6e-64"])
def test_tpu_slices_of_several_hosts_are_refused(accelerator: str) -> None:
    family = accelerator.split("-")[0]
    with pytest.raises(LaunchError, match=rf"{accelerator}.*-pod.*{family}-8"):
        build(a_job(accelerator), "default")


def test_what_a_cluster_cannot_see_is_refused() -> None:
    with pytest.raises(LaunchError, match="--image"):
        build(a_job(image=""), "default")


def test_a_jobs_pods_have_names_that_kubernetes_takes() -> None:
    longest = a_job(name="x" * 40, workers=1000)
    config = _pod_of(_plain(longest, "default"))["spec"]["containers"][0]["env"][2]["value"]
    hosts = json.loads(config.replace("$(JOB_COMPLETION_INDEX)", "0"))["cluster"]["worker"]
    # The controller adds a hyphen and five letters.
    assert max(len(host.split(".")[0]) + 6 for host in hosts) <= 63
