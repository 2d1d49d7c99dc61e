"""What the clients of Google Cloud raise becomes one sentence with the mend."""

import pytest
from google.api_core import exceptions
from google.auth import exceptions as auth

from launch.errors import ServiceError
from launch.google_api import naming_refusals


def sentence_of(error: Exception, **options: str) -> str:
    with pytest.raises(ServiceError) as raised, naming_refusals("W", "P", "roles/x", **options):
        raise error
    assert raised.value.__cause__ is error
    return str(raised.value)


NO_LOGIN = "there are no credentials that work"
LOG_IN = "run `gcloud auth application-default login`, or give the machine a service account."
NO_ANSWER = "the service did not answer as it should"
AGAIN = "give the command again in a minute."
NETWORK = f"check the network and the proxy, then {AGAIN}"
QUOTAS = "https://console.cloud.google.com/iam-admin/quotas?project=P"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (auth.DefaultCredentialsError("none found"), f"{NO_LOGIN}; {LOG_IN}"),
        (auth.RefreshError("expired"), f"{NO_LOGIN}; {LOG_IN}"),
        (exceptions.Unauthorized("bad token"), f"the credentials were refused; {LOG_IN}"),
        (
            exceptions.Forbidden("Permission denied."),
            "not allowed (Permission denied); enable the API in project P and give the account "
            "roles/x.",
        ),
        (
            exceptions.NotFound("GET https://x.googleapis.com/v1/a?b=c: no such job"),
            "not found (no such job); check the name, --project=P and the region or zone.",
        ),
        (
            exceptions.ResourceExhausted("8 chips"),
            f"quota is used up (8 chips); wait, ask for more at {QUOTAS}, or take another region.",
        ),
        (
            exceptions.ServiceUnavailable("x"),
            f"the service did not answer as it should (x); {AGAIN}",
        ),
        (auth.TransportError("proxy"), f"no connection (proxy); {NETWORK}"),
        (ConnectionResetError("by peer"), f"no connection (by peer); {NETWORK}"),
        (exceptions.InvalidArgument("bad\nmachine type"), "refused (bad machine type)."),
    ],
)
def test_every_refusal_has_its_mend(error: Exception, sentence: str) -> None:
    assert sentence_of(error) == f"W: {sentence}"


def test_a_retry_that_gave_up_says_why() -> None:
    gave_up = exceptions.RetryError("timeout of 60 s", exceptions.TooManyRequests("60 a minute"))
    assert "quota is used up (60 a minute)" in sentence_of(gave_up)
    assert "did not answer as it should" in sentence_of(exceptions.RetryError("timeout", None))


def test_what_to_do_where_nobody_knows_is_the_callers_to_say() -> None:
    for error in (exceptions.BadGateway("x"), TimeoutError("x")):
        assert sentence_of(error, again="look first").endswith("look first.")


def test_our_own_mistakes_pass() -> None:
    with pytest.raises(KeyError), naming_refusals("W", "P", "roles/x"):
        raise KeyError("a bug")
