"""What the client of Kubernetes raises, as one sentence with the mend."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from urllib3.exceptions import HTTPError

from launch.errors import ServiceError

_LOG_IN = (
    "run `gcloud container clusters get-credentials CLUSTER --location=LOCATION`, which also "
    "needs the plugin gke-gcloud-auth-plugin"
)


def connect(context: str) -> client.ApiClient:
    """A client of a kubeconfig's context, empty for its current, or of the cluster around us.

    Raises:
        ServiceError: there is no such kubeconfig or context.
    """
    configuration = client.Configuration()
    try:
        load_kube_config(context=context or None, client_configuration=configuration)
    except ConfigException as error:
        if context or "KUBERNETES_SERVICE_HOST" not in os.environ:
            which = f"--context={context}" if context else "no --context"
            reason = str(error).rstrip(".")
            raise ServiceError(f"{which}: no cluster to talk to ({reason}); {_LOG_IN}.") from error
        load_incluster_config(client_configuration=configuration)
    return client.ApiClient(configuration)


@contextlib.contextmanager
def naming_refusals(what: str, namespace: str) -> Iterator[None]:
    """Turns the client's exceptions into a ServiceError; `what`: as "submitting job mnist"."""
    try:
        yield
    except ApiException as error:
        raise ServiceError(f"{what}: {_sentence(error, namespace)}") from error
    except HTTPError as error:
        reason = str(error).splitlines()[0]
        raise ServiceError(
            f"{what}: no connection to the cluster ({reason}); check the network, and whether the "
            "cluster of this context still exists."
        ) from error


def unless_missing(call: Callable[[], Any]) -> Any:
    """What a call returns, or None where the server answers that there is no such thing."""
    try:
        return call()
    except ApiException as error:
        if error.status != 404:
            raise
        return None


def message_of(error: ApiException) -> str:
    """What the server says, without the headers around it."""
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return (error.body or error.reason or "no answer").strip()


def _sentence(error: ApiException, namespace: str) -> str:
    message = message_of(error).rstrip(".")
    if error.status == 401:
        return f"the credentials were refused ({message}); {_LOG_IN}."
    if error.status == 403:
        if "exceeded quota" in message:
            return f"the quota of namespace {namespace} is used up ({message}); wait, or raise it."
        return (
            f"not allowed ({message}); the account needs the Kubernetes role edit in namespace "
            f"{namespace}, or the IAM role roles/container.developer."
        )
    if error.status == 404:
        return f"not found ({message}); check the name and --namespace={namespace}."
    if error.status == 429 or error.status >= 500:
        return (
            f"the cluster did not answer as it should ({error.status}, {message}); give the "
            "command again in a minute."
        )
    return f"refused ({message})."
