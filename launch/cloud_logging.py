"""What the workers of a job on Vertex AI print, as Cloud Logging has it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core.retry import Retry
from google.cloud import logging

# Workers' lines become visible out of order, this much apart at most.
LATE = timedelta(seconds=60)
# The most there may be; a project has 60 requests a minute.
_PAGE_SIZE = 1000


class JobLog:
    """The lines of one job, each once."""

    def __init__(
        self, client: logging.Client, job_id: str, created: datetime, retry: Retry
    ) -> None:
        """Begins with the first line; `job_id` is Vertex AI's number."""
        self.client = client
        self.job_id = job_id
        self.since = created
        self.retry = retry
        self.seen: set[tuple[datetime, str]] = set()

    def unread(self) -> list[str]:
        """The lines that have become visible since the last call, each with its worker."""
        entries = self.retry(self._read)()
        new = [entry for entry in entries if _key(entry) not in self.seen]
        if entries:
            # Asked for once more, so that a line that comes late is not missed.
            self.seen = {_key(entry) for entry in entries}
            self.since = max(self.since, entries[-1].timestamp - LATE)
        return [_line(entry) for entry in new]

    def _read(self) -> list[Any]:
        # Without a time of its own the client asks for the last 24 hours only.
        since = self.since.astimezone(UTC).isoformat()
        found = self.client.list_entries(
            filter_=(
                f'resource.type="ml_job" AND resource.labels.job_id="{self.job_id}" '
                f'AND timestamp>="{since}"'
            ),
            order_by=logging.ASCENDING,
            page_size=_PAGE_SIZE,
        )
        return list(found)


def _key(entry: Any) -> tuple[datetime, str]:
    return entry.timestamp, entry.insert_id


def _line(entry: Any) -> str:
    worker = entry.resource.labels.get("task_name", "")
    text = entry.payload
    if isinstance(text, dict):
        text = text.get("message", text)
    return f"[{worker}] {text}".rstrip()
