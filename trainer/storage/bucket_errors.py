"""What went wrong with gs://, as a sentence that names the bucket and the mend.

Errors are told apart by the names of their classes: nothing here imports gcsfs or TensorFlow.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from trainer.errors import StorageOutageError, UserError

_SECRETS = re.compile(
    r"""(?ix)
      (?<=://) [^\s/@]+ (?=@)                       # name and password in a URL
    | (?<=\?) (?! generation=\d+ (?![\w&]) ) [^\s'"()<>]* = [^\s'"()<>]*  # its query: upload_id
    | \w* (?: authorization | token | secret | password | signature | cookie
              | (?: private | access | api )_?key ) ['"]?
      (?: \s* [:=] \s* ['"]? | \s+ ['"] ) (?: bearer\s+ | basic\s+ )? [^\s'",&}]+
    | (?<= bearer\s ) [^\s'",]+
    | (?<! [\w/] ) (?: ya29\. | AIza | 1// ) [\w.-]+    # Google's own, wherever they stand
    """
)


class DamagedError(Exception):
    """A copy has other bytes than it should."""


@contextlib.contextmanager
def naming_the_bucket(path: str, deed: str) -> Iterator[None]:
    """Turns errors of gcsfs into a sentence with the bucket, what could not be done and the mend.

    Raises:
        UserError: credentials, permission or bucket are missing; says so, and the mend.
        StorageOutageError: Google Cloud Storage gave no good answer to many requests.
    """
    try:
        yield
    except DamagedError:
        raise
    except Exception as error:
        _raise_named(error, path, deed)


@contextlib.contextmanager
def naming_buckets_of_streams() -> Iterator[None]:
    """The same for errors of TensorFlow, which name the object; all others pass."""
    try:
        yield
    except Exception as error:
        found = re.search(r"gs://[^\s'\"]+", str(error))
        if not found or "tensorflow.OpError" not in _kinds(error):
            raise
        _raise_named(error, found[0], "used")


def _raise_named(error: Exception, path: str, deed: str) -> NoReturn:
    status = status_of(error)
    told = f"{path} cannot be {deed} ({f'HTTP status {status}' if status else reason(error)})"
    if mend := _mend(error, path.removeprefix("gs://").partition("/")[0]):
        raise UserError(f"{told}: {mend}") from error
    if is_transient(error):
        raise StorageOutageError(
            f"{told}, and trying again did not help: give the same command once Google Cloud "
            "Storage answers again."
        ) from error
    error.args = tuple(_without_secrets(each) for each in error.args)
    raise error


def reason(error: BaseException | None) -> str:
    """The first line of an error's text, without secrets and operations, or its class."""
    line = re.sub(r"^\{\{.*?\}\} | \[Op:.*", "", str(error).strip().split("\n")[0])
    return _without_secrets(line) or type(error).__name__


def _without_secrets(value: Any) -> Any:
    """A text with `...` for what may be a key, token or password; what is no text as it is."""
    return _SECRETS.sub("...", value) if isinstance(value, str) else value


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed later, as after 429, 503 or a reset."""
    status = status_of(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    kinds = _kinds(error)
    if "tensorflow.OpError" in kinds:
        return bool(re.search(r"retry attempts failed|HTTP request", str(error)))
    return bool(
        isinstance(error, ConnectionError | TimeoutError | DamagedError)
        or kinds & {"aiohttp.ClientError", "requests.RequestException"}
    )


def is_at_fault(error: BaseException) -> bool:
    """Whether Google Cloud Storage refused or failed, and the object may be as it should."""
    return status_of(error) in (401, 403) or is_transient(error)


def _mend(error: BaseException, bucket: str) -> str:
    """What the user can do about a lasting error; empty for other errors."""
    if "google.GoogleAuthError" in _kinds(error):
        return (
            "there are no valid credentials; run `gcloud auth application-default login`, set "
            "GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account, or give this "
            "machine a service account."
        )
    if (status := status_of(error)) == 401:
        return (
            f"the bucket {bucket} did not accept the credentials, or got none; run `gcloud auth "
            "application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a valid key file."
        )
    if status == 403:
        return (
            f"the account may not do this in the bucket {bucket}; give it the role "
            f"roles/storage.objectUser there: `gcloud storage buckets add-iam-policy-binding "
            f"gs://{bucket} --member=... --role=roles/storage.objectUser`."
        )
    if status == 404:
        return (
            f"the bucket {bucket}, or the object, is not there; correct the path, or create the "
            f"bucket: `gcloud storage buckets create gs://{bucket}`."
        )
    return ""


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error of gcsfs or TensorFlow, None where there was none."""
    if isinstance(error, FileNotFoundError):
        return 404
    if isinstance(error, FileExistsError):
        return 412  # gcsfs's word for a precondition that does not hold
    if isinstance(error, OSError) and str(error).startswith("Forbidden"):
        return 403
    if "tensorflow.OpError" in _kinds(error):
        found = re.search(r"HTTP response code (\d+)", str(error))
        return int(found[1]) if found else None
    code = getattr(error, "code", None)
    return int(code) if isinstance(code, int | str) and str(code).isdigit() else None


def _kinds(error: BaseException) -> set[str]:
    """The library and the name of each class of an error, without importing the libraries."""
    return {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).mro()}
