"""Lines of a job on Vertex AI: the real clients against a server on this machine."""

from typing import Any

import pytest

from launch.errors import ServiceError
from tests.helpers.loopback import Answer, Loopback, google_error
from tests.helpers.vertex_api import ENTRIES, JOBS, REFUSALS, custom_job, vertex_at

pytestmark = pytest.mark.usefixtures("impatient")


def entry(second: int, text: str, worker: str = "workerpool0-0", **more: Any) -> dict[str, Any]:
    return {
        "logName": "projects/p/logs/workerpool0-0",
        "insertId": f"id-{text}",
        "timestamp": f"2026-11-24T10:{second // 60:02d}:{second % 60:02d}.5Z",
        "resource": {"type": "ml_job", "labels": {"job_id": "77", "task_name": worker}},
        "textPayload": text,
        **more,
    }


def test_logs_read_all_pages_from_the_jobs_beginning(server: Loopback) -> None:
    server.on("GET", f"{JOBS}/77", custom_job())
    as_json = entry(2, "b", jsonPayload={"message": "step 2", "levelname": "INFO"})
    del as_json["textPayload"]
    first_page = {"entries": [entry(1, "step 1\n")], "nextPageToken": "more"}
    last_page = {"entries": [as_json, entry(3, "step 3", "workerpool1-0")]}
    server.on("POST", ENTRIES, first_page, last_page)
    assert list(vertex_at(server).logs("77", follow=False)) == [
        "[workerpool0-0] step 1",
        "[workerpool0-0] step 2",
        "[workerpool1-0] step 3",
    ]
    first, second = server.received("POST", ENTRIES)
    assert first.body == {
        "resourceNames": ["projects/p"],
        "filter": 'resource.type="ml_job" AND resource.labels.job_id="77" '
        'AND timestamp>="2026-11-24T10:00:00.250000+00:00"',
        "orderBy": "timestamp asc",
        "pageSize": 1000,
    }
    assert second.body["pageToken"] == "more"


def test_logs_follow_until_the_end_and_miss_nothing_that_comes_late(server: Loopback) -> None:
    running, ended = custom_job(), custom_job(state="SUCCEEDED")
    server.on("GET", f"{JOBS}/77", running, running, ended)
    late = entry(150, "late", "workerpool1-0")
    server.on(
        "POST",
        ENTRIES,
        {"entries": [entry(1, "one"), entry(180, "two")]},
        {"entries": [late, entry(180, "two"), entry(190, "three")]},
        {"entries": [late, entry(180, "two"), entry(190, "three"), entry(200, "last")]},
    )
    waits: list[float] = []
    lines = list(vertex_at(server, sleep=waits.append).logs("77", follow=True))
    assert [line.split()[1] for line in lines] == ["one", "two", "late", "three", "last"]
    assert waits == [5.0, 5.0, 60.0]
    since = [request.body["filter"].split(">=")[1] for request in server.received("POST", ENTRIES)]
    assert since == [
        '"2026-11-24T10:00:00.250000+00:00"',
        '"2026-11-24T10:02:00.500000+00:00"',
        '"2026-11-24T10:02:10.500000+00:00"',
    ]


def test_following_survives_an_unavailable_service(server: Loopback) -> None:
    unavailable = google_error(503, "UNAVAILABLE", "try later")
    server.on("GET", f"{JOBS}/77", custom_job(), unavailable, custom_job(state="SUCCEEDED"))
    one, two = entry(1, "one"), entry(2, "two")
    server.on("POST", ENTRIES, {"entries": [one]}, Answer(cut="within"), {"entries": [one, two]})
    lines = list(vertex_at(server, sleep=lambda _: None).logs("77", follow=True))
    assert lines == ["[workerpool0-0] one", "[workerpool0-0] two"]


@pytest.mark.parametrize(("answer", "sentence"), REFUSALS)
def test_refusals_of_the_logs(server: Loopback, answer: Answer, sentence: str) -> None:
    server.on("GET", f"{JOBS}/77", custom_job())
    server.on("POST", ENTRIES, answer)
    with pytest.raises(ServiceError) as raised:
        list(vertex_at(server).logs("77", follow=False))
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("reading logs of job 77: ")
