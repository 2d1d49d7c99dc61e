"""What the clients of Google Cloud raise, as one sentence with the mend."""

import contextlib
import re
from collections.abc import Iterator

from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions

from launch.errors import ServiceError

# What the clients put before the service's own words.
_REQUEST = re.compile(r"^[A-Z]+ https?://\S+: ")
_LOG_IN = "run `gcloud auth application-default login`, or give the machine a service account"


@contextlib.contextmanager
def naming_refusals(
    what: str, project: str, role: str, *, again: str = "give the command again in a minute"
) -> Iterator[None]:
    """Turns the exceptions of clients into a ServiceError that names what was asked.

    The IAM `role` allows it; `again` is what to do where nobody knows whether it was done.
    """
    try:
        yield
    except (auth_exceptions.GoogleAuthError, exceptions.GoogleAPIError, OSError) as error:
        # A retry that gave up hides the reason.
        cause = error.cause if isinstance(error, exceptions.RetryError) else error
        raise ServiceError(f"{what}: {_mend(cause or error, project, role, again)}.") from error


def _mend(error: Exception, project: str, role: str, again: str) -> str:
    said = " ".join(str(getattr(error, "message", error)).split()).rstrip(".")
    said = _REQUEST.sub("", said)
    match error:
        case auth_exceptions.TransportError() | OSError():
            return f"no connection ({said}); check the network and the proxy, then {again}"
        case auth_exceptions.GoogleAuthError():
            return f"there are no credentials that work; {_LOG_IN}"
        case exceptions.Unauthorized():
            return f"the credentials were refused; {_LOG_IN}"
        case exceptions.Forbidden():
            return (
                f"not allowed ({said}); enable the API in project {project} and give the account "
                f"{role}"
            )
        case exceptions.NotFound():
            return f"not found ({said}); check the name, --project={project} and the region or zone"
        case exceptions.TooManyRequests():
            return (
                f"quota is used up ({said}); wait, ask for more at "
                f"https://console.cloud.google.com/iam-admin/quotas?project={project}, or take "
                "another region"
            )
        case exceptions.ServerError() | exceptions.RetryError():
            return f"the service did not answer as it should ({said}); {again}"
    return f"refused ({said})"
