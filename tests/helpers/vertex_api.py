"""Vertex AI on this machine, for its real clients."""

from typing import Any

from google.api_core.client_options import ClientOptions
from google.auth.credentials import Credentials
from google.cloud import logging
from google.cloud.aiplatform_v1 import JobServiceClient
from google.cloud.aiplatform_v1.services.job_service.transports.rest import JobServiceRestTransport

from launch.vertex import Vertex
from tests.helpers.loopback import Answer, Loopback, google_error

JOBS = "/v1/projects/p/locations/us-west4/customJobs"
ENTRIES = "/v2/entries:list"


class Token(Credentials):
    def refresh(self, request: Any) -> None:
        self.token = "secret"


def vertex_at(server: Loopback, **options: Any) -> Vertex:
    """The backend with its real clients, which talk to that server."""
    address = ClientOptions(api_endpoint=server.url)
    log_client = logging.Client(
        project="p", credentials=Token(), _use_grpc=False, client_options=address
    )
    transport = JobServiceRestTransport(host=server.url, credentials=Token())
    clients = {"client": JobServiceClient(transport=transport), "log_client": log_client}
    return Vertex("p", "us-west4", **clients, **options)


def custom_job(number: int = 77, state: str = "RUNNING", **more: Any) -> dict[str, Any]:
    """A job as Vertex AI sends it."""
    name = f"projects/123/locations/us-west4/customJobs/{number}"
    fields = {"state": f"JOB_STATE_{state}", "createTime": "2026-11-24T10:00:00.250Z", **more}
    return {"name": name, "displayName": "mnist", **fields}


REFUSALS: list[tuple[Answer, str]] = [
    (google_error(401, "UNAUTHENTICATED", "bad"), "the credentials were refused; run `gcloud"),
    (google_error(403, "PERMISSION_DENIED", "no right"), "no right); enable the API in project p"),
    (google_error(404, "NOT_FOUND", "no such thing"), "no such thing); check the name"),
    (google_error(429, "RESOURCE_EXHAUSTED", "custom_model_training_tpu_v5e"), "_tpu_v5e); wait"),
    (google_error(503, "UNAVAILABLE", "try later"), "did not answer as it should"),
    (Answer(cut="before"), "no connection"),
    (Answer(custom_job(), cut="within"), "no connection"),
]
"""What goes wrong, and some of the sentence that tells it."""
