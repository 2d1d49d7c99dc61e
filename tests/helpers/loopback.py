"""A small HTTP server on this machine with scripted answers, for the clouds' real clients."""

import dataclasses
import http.server
import json
import socket
import threading
import urllib.parse
from typing import Any, Literal, Self


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the server says to one request.

    Attributes:
        body: sent as JSON; a str or bytes is sent as it is.
        status: the status code.
        cut: "before" closes the connection without a word, "within" after half of the body.
    """

    body: Any = dataclasses.field(default_factory=dict)
    status: int = 200
    cut: Literal["", "before", "within"] = ""

    def encoded(self) -> tuple[str, bytes]:
        """The content type and the bytes."""
        if isinstance(self.body, bytes):
            return "application/octet-stream", self.body
        if isinstance(self.body, str):
            return "text/plain; charset=utf-8", self.body.encode()
        return "application/json", json.dumps(self.body).encode()


@dataclasses.dataclass(frozen=True)
class Request:
    """What the server received.

    Attributes:
        method: such as "POST".
        path: without the query.
        query: each name with its first value.
        headers: names in lower case.
        body: parsed JSON; the text where it is not JSON, None where there is none.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


def google_error(status: int, name: str, message: str) -> Answer:
    """An error as Google's REST APIs write it, such as (429, "RESOURCE_EXHAUSTED", "...")."""
    return Answer({"error": {"code": status, "status": name, "message": message}}, status)


class Loopback:
    """The server, from `with` to the end of its block.

    Attributes:
        url: such as "http://127.0.0.1:40123".
        requests: all that was received, in order.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        # HTTP/1.1 keeps connections, so each has a thread of its own.
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        serve = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        serve.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def on(self, method: str, path: str, *answers: Answer | dict[str, Any]) -> None:
        """Scripts what requests of this method and path get, one after the other.

        The last answer is given again and again. A dict is the body of a success.
        """
        self._answers[method, path] = [
            each if isinstance(each, Answer) else Answer(each) for each in answers
        ]

    def received(self, method: str, path: str) -> list[Request]:
        """The requests of this method and path, in order."""
        return [each for each in self.requests if (each.method, each.path) == (method, path)]

    def _next_answer(self, method: str, path: str) -> Answer:
        answers = self._answers.get((method, path))
        if answers is None:
            # No client takes 418 for a reason to try again or to go on.
            return Answer(f"the test has no answer to {method} {path}", status=418)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        loopback = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _answer(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                loopback.requests.append(
                    Request(
                        method=self.command,
                        path=url.path,
                        query=dict(reversed(urllib.parse.parse_qsl(url.query))),
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=_parsed(self.rfile.read(int(self.headers["Content-Length"] or 0))),
                    )
                )
                answer = loopback._next_answer(self.command, url.path)
                if answer.cut == "before":
                    return self._cut()
                content_type, content = answer.encoded()
                self.send_response(answer.status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if answer.cut == "within":
                    self.wfile.write(content[: len(content) // 2])
                    return self._cut()
                self.wfile.write(content)
                return None

            def _cut(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")
