"""Objects of Google Cloud Storage that change only where nobody else has changed them since.

Each version of an object has a generation, and a request can be tied to one:
https://cloud.google.com/storage/docs/request-preconditions
"""

import dataclasses
import datetime
import email.utils

from trainer.storage.bucket import filesystem
from trainer.storage.bucket_errors import naming_the_bucket, status_of

_OBJECT = "b/{}/o/{}"  # below gcsfs's own base, with a bucket and a key

NONE = "0"
"""The generation of what is not there."""


@dataclasses.dataclass(frozen=True)
class Version:
    """An object as it was found.

    Attributes:
        seconds_old: since it was written, by the clock of Google Cloud Storage.
    """

    generation: str
    content: bytes
    seconds_old: float


def find_version(path: str) -> Version | None:
    """The newest version of a gs:// object, None where there is none.

    Raises:
        UserError, StorageOutageError: as `trainer.storage.bucket.check_writable`.
    """
    bucket, key = _bucket_and_key(path)
    with naming_the_bucket(path, "read"):
        try:
            found = filesystem().call("GET", _OBJECT, bucket, key, json_out=True)
            generation = found["generation"]
            headers, content = filesystem().call(
                "GET", _OBJECT, bucket, key, alt="media", generation=generation
            )
        except FileNotFoundError:
            return None
    written = datetime.datetime.fromisoformat(found["updated"])
    now = email.utils.parsedate_to_datetime(headers["Date"])
    return Version(generation, content, (now - written).total_seconds())


def replace(path: str, content: bytes, generation: str) -> str | None:
    """Writes an object if `generation` is still its newest; returns the new one, None if not.

    `content` is to be unlike what any other process writes there: by it we know our own write,
    whose answer was lost.

    Raises:
        UserError, StorageOutageError: as `trainer.storage.bucket.check_writable`.
    """
    bucket, key = _bucket_and_key(path)
    url = f"{filesystem().base}b/{{}}/o".replace("/storage/", "/upload/storage/")
    tied = {"uploadType": "media", "name": key, "ifGenerationMatch": generation}
    with naming_the_bucket(path, "written to"):
        try:
            return filesystem().call("POST", url, bucket, data=content, json_out=True, **tied)[
                "generation"
            ]
        except Exception as error:
            if status_of(error) != 412:
                raise
    found = find_version(path)
    ours = found is not None and found.content == content and found.generation != generation
    return found.generation if found and ours else None


def remove(path: str, generation: str) -> None:
    """Deletes an object if `generation` is still its newest.

    Raises:
        UserError, StorageOutageError: as `trainer.storage.bucket.check_writable`.
    """
    bucket, key = _bucket_and_key(path)
    with naming_the_bucket(path, "cleared of what was written"):
        try:
            filesystem().call("DELETE", _OBJECT, bucket, key, ifGenerationMatch=generation)
        except Exception as error:
            if status_of(error) not in (404, 412):
                raise


def _bucket_and_key(path: str) -> tuple[str, str]:
    bucket, _, key = path.removeprefix("gs://").partition("/")
    return bucket, key
