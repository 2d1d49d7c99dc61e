"""The TPU API on this machine, over gRPC, made of the client's own messages.

Beside it, where a job's VM reports to in the bucket, and what it says there.
"""

import concurrent.futures
from typing import Any, Self

import grpc
from google.cloud import tpu_v2alpha1 as tpu
from google.cloud.tpu_v2alpha1.services.tpu.transports import TpuGrpcTransport
from google.longrunning import operations_pb2
from google.rpc import status_pb2

from tests.helpers.loopback import Loopback, google_error

State = tpu.QueuedResourceState.State
Initiator = tpu.QueuedResourceState.StateInitiator
PARENT = "projects/my-project/locations/us-west4-a"
OBJECTS = "/storage/v1/b/bucket/o"
REPORT = f"/download{OBJECTS}/runs%2Fmnist%2Flaunch%2Fworker-0.json"
LOG = f"/download{OBJECTS}/runs%2Fmnist%2Flaunch%2Fworker-0.log"
NOT_THERE = google_error(404, "NOT_FOUND", "No such object")
RUNNING = {"state": "running", "detail": "", "seconds": 60}
DONE = {"state": "succeeded", "detail": "exit code 0", "seconds": 90}


class Bucket(Loopback):
    """Cloud Storage with an empty bucket, where the VM of the job has said nothing yet."""

    def __enter__(self) -> Self:
        self.on("GET", OBJECTS, {"items": []})
        self.on("GET", LOG, NOT_THERE)
        self.says(None)
        super().__enter__()
        return self

    def says(self, report: dict[str, Any] | None) -> None:
        """Sets what the job's VM has reported last."""
        self.on("GET", REPORT, report or NOT_THERE)


class TpuApi:
    """A context manager: queued resources in memory, whose states a test sets.

    Attributes:
        client: the real client, connected to it.
        resources: by their full names.
        vms: states of nodes by their full names.
        received: the name of each method that was called, with its request.
        failures: what the next calls answer in place of their result, the first first.
        create_error: how the operation that creates a resource ends at once, if it fails.
        polls_of_deletion: how often a deleted resource is still seen.
    """

    def __init__(self) -> None:
        self.resources: dict[str, tpu.QueuedResource] = {}
        self.vms: dict[str, tpu.Node.State] = {}
        self.received: list[tuple[str, Any]] = []
        self.failures: list[tuple[grpc.StatusCode, str]] = []
        self.create_error: status_pb2.Status | None = None
        self.polls_of_deletion = 0

    def __enter__(self) -> Self:
        methods = {
            "CreateQueuedResource": (tpu.CreateQueuedResourceRequest, self._create),
            "GetQueuedResource": (tpu.GetQueuedResourceRequest, self._get),
            "ListQueuedResources": (tpu.ListQueuedResourcesRequest, self._list),
            "DeleteQueuedResource": (tpu.DeleteQueuedResourceRequest, self._delete),
            "GetNode": (tpu.GetNodeRequest, self._get_node),
            "DeleteNode": (tpu.DeleteNodeRequest, self._delete_node),
        }
        handlers = {name: self._handler(name, *method) for name, method in methods.items()}
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.cloud.tpu.v2alpha1.Tpu", handlers),)
        )
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.client = tpu.TpuClient(transport=TpuGrpcTransport(channel=self.channel))
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.server.stop(0)

    def put(self, name: str, state: State, initiator: Initiator = Initiator.SERVICE) -> None:
        """Sets the state of a queued resource."""
        resource = self.resources[f"{PARENT}/queuedResources/{name}"]
        resource.state = tpu.QueuedResourceState(state=state, state_initiator=initiator)

    def calls(self, method: str) -> list[Any]:
        """The requests of a method."""
        return [request for name, request in self.received if name == method]

    def _handler(self, name: str, request_type: Any, answer: Any) -> grpc.RpcMethodHandler:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            self.received.append((name, request))
            if self.failures:
                context.abort(*self.failures.pop(0))
            found = answer(request)
            if found is None:
                context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} was not found")
            return found

        def serialize(message: Any) -> bytes:
            raw = type(message).pb(message) if hasattr(type(message), "pb") else message
            return raw.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(handle, request_type.deserialize, serialize)

    def _create(self, request: tpu.CreateQueuedResourceRequest) -> operations_pb2.Operation:
        if self.create_error:
            return operations_pb2.Operation(name="op", done=True, error=self.create_error)
        name = f"{request.parent}/queuedResources/{request.queued_resource_id}"
        resource = tpu.QueuedResource(request.queued_resource)
        resource.name = name
        resource.create_time = f"2026-11-24T10:00:{len(self.resources):02}Z"
        resource.state = tpu.QueuedResourceState(state=State.WAITING_FOR_RESOURCES)
        self.resources[name] = resource
        return operations_pb2.Operation(name="op")

    def _get(self, request: tpu.GetQueuedResourceRequest) -> tpu.QueuedResource | None:
        found = self.resources.get(request.name)
        if found and found.state.state is State.DELETING:
            self.polls_of_deletion -= 1
            if self.polls_of_deletion < 0:
                del self.resources[request.name]
                return None
        return found

    def _list(self, request: tpu.ListQueuedResourcesRequest) -> tpu.ListQueuedResourcesResponse:
        """One on a page."""
        at, names = int(request.page_token or 0), sorted(self.resources)
        return tpu.ListQueuedResourcesResponse(
            queued_resources=[self.resources[name] for name in names[at : at + 1]],
            next_page_token=str(at + 1) if at + 1 < len(names) else "",
        )

    def _delete(self, request: tpu.DeleteQueuedResourceRequest) -> Any:
        if request.name not in self.resources:
            return None
        self.resources[request.name].state = tpu.QueuedResourceState(state=State.DELETING)
        return operations_pb2.Operation(name="op")

    def _get_node(self, request: tpu.GetNodeRequest) -> tpu.Node | None:
        if request.name not in self.vms:
            return None
        return tpu.Node(name=request.name, state=self.vms[request.name])

    def _delete_node(self, request: tpu.DeleteNodeRequest) -> Any:
        return operations_pb2.Operation(name="op") if self.vms.pop(request.name, None) else None
