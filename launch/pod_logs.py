"""What the pods of a job print."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from kubernetes.client import CoreV1Api, V1Pod
from kubernetes.client.exceptions import ApiException

from launch.gke_manifests import CONTAINER, INDEX_ANNOTATION


def read(core: CoreV1Api, pods: Sequence[V1Pod], shows_worker: bool) -> Iterator[str]:
    """What pods have printed so far, worker by worker, the oldest pod first."""
    by_age = sorted(pods, key=attrgetter("metadata.creation_timestamp"))
    for pod in sorted(by_age, key=_worker):
        yield from _lines(core, pod, shows_worker, until_it_ends=False)


def follow(
    core: CoreV1Api,
    list_pods: Callable[[], Sequence[V1Pod]],
    has_ended: Callable[[], bool],
    shows_worker: bool,
    poll_seconds: float,
) -> Iterator[str]:
    """What pods print, as they print it, until the job has ended.

    `list_pods` is asked every `poll_seconds`, since new ones come when a job starts again, and
    `has_ended` whether no more will come.
    """
    lines: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
    readers: dict[str, threading.Thread] = {}

    def pump(pod: V1Pod) -> None:
        try:
            for line in _lines(core, pod, shows_worker, until_it_ends=True):
                lines.put(line)
        except Exception as error:  # raised again in the caller's thread
            lines.put(error)

    while True:
        # Asked before the pods, so that none that comes in between is missed.
        ended = has_ended()
        for pod in list_pods():
            if pod.status.phase != "Pending" and pod.metadata.uid not in readers:
                reader = threading.Thread(target=pump, args=(pod,), daemon=True)
                readers[pod.metadata.uid] = reader
                reader.start()
        yield from _arriving(lines, poll_seconds)
        if ended and not any(reader.is_alive() for reader in readers.values()):
            yield from _arriving(lines, 0)
            return


def _arriving(lines: "queue.SimpleQueue[str | Exception]", seconds: float) -> Iterator[str]:
    """The lines that are there and those of the next seconds; raises what a reader raised."""
    until = time.monotonic() + seconds
    while True:
        try:
            line = lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return
        if isinstance(line, Exception):
            raise line
        yield line


def _lines(
    core: CoreV1Api, pod: V1Pod, shows_worker: bool, *, until_it_ends: bool
) -> Iterator[str]:
    prefix = f"[worker {_worker(pod)}] " if shows_worker else ""
    try:
        answer = core.read_namespaced_pod_log(
            pod.metadata.name,
            pod.metadata.namespace,
            container=CONTAINER,
            follow=until_it_ends,
            _preload_content=False,
        )
    except ApiException as error:
        if error.status in (400, 404):
            # It has not started yet, or has gone with its node.
            return
        raise
    with answer:
        for line in answer:
            yield prefix + line.decode(errors="replace").rstrip("\r\n")


def _worker(pod: V1Pod) -> int:
    return int((pod.metadata.annotations or {}).get(INDEX_ANNOTATION, 0))
