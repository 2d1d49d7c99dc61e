"""Programs whose imports are done: each is a copy of one process that has imported TensorFlow.

`WarmProgram` takes `subprocess.Popen`'s place where a test is about what a program does, and saves
the seconds that its imports take. What a program is told before it imports TensorFlow, such as
TF_ENABLE_ONEDNN_OPTS, comes too late here: such a test needs a process of its own.
"""

import contextlib
import ctypes
import functools
import importlib
import inspect
import json
import os
import runpy
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

_PRELOADED = (
    "trainer.train",
    "trainer.sweep.sweep",
    "trainer.evaluate_runs",
    "trainer.report.page",
)
_PR_SET_CHILD_SUBREAPER = 36
_STREAMS = 3
_NUMBER = struct.Struct("!I")


class WarmProgram(subprocess.Popen[str]):
    """`python -m MODULE FLAGS...`, of which the command's first two words are taken as said."""

    def _execute_child(self, *given: Any) -> None:
        parent: Any = subprocess.Popen
        named = inspect.signature(parent._execute_child).bind(self, *given).arguments
        stdout, stderr = named["c2pwrite"], named["errwrite"]
        streams = [
            own if own >= 0 else inherited
            for inherited, own in enumerate((named["p2cread"], stdout, stderr))
        ]
        request = {
            "arguments": named["args"][2:],
            "cwd": named["cwd"] or os.getcwd(),
            "env": dict(named["env"] or os.environ),
        }
        try:
            self.pid = _ask(request, streams)
        finally:
            # Of pipes, the ends that are the program's; a file stays its owner's.
            ends = ((named["c2pread"], stdout), (named["errread"], stderr))
            for descriptor in {written for read, written in ends if read >= 0}:
                os.close(descriptor)
        self._child_created = True


def _ask(request: dict[str, Any], streams: list[int]) -> int:
    """The process that the server made; its parent is this one."""
    text, server = json.dumps(request).encode(), _server()
    with _adopting_orphans():
        socket.send_fds(server, [_NUMBER.pack(len(text))], streams)
        server.sendall(text)
        return _NUMBER.unpack(server.recv(_NUMBER.size, socket.MSG_WAITALL))[0]


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    descriptor = theirs.fileno()
    command = [sys.executable, "-m", __name__, str(descriptor)]
    # Of what is set for the tests, XLA_FLAGS would stay in force in all that come from it.
    environment = os.environ | {"XLA_FLAGS": ""}
    subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[descriptor], env=environment)
    theirs.close()
    return ours


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """A grandchild whose parent ends in the block becomes a child, so that it can be waited for."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0)


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Answers until nobody is left to ask; in each copy, returns what the program is to be."""
    while True:
        length, streams, _, _ = socket.recv_fds(requests, _NUMBER.size, _STREAMS)
        if not length:
            return None
        text = requests.recv(_NUMBER.unpack(length)[0], socket.MSG_WAITALL)
        read_end, write_end = os.pipe()
        between = os.fork()
        if between == 0:
            program = os.fork()
            if program == 0:
                for target, descriptor in enumerate(streams):
                    os.dup2(descriptor, target)
                for descriptor in (*streams, read_end, write_end):
                    os.close(descriptor)
                requests.close()
                return json.loads(text)
            os.write(write_end, _NUMBER.pack(program))
            os._exit(0)
        os.waitpid(between, 0)
        requests.sendall(os.read(read_end, _NUMBER.size))
        for descriptor in (*streams, read_end, write_end):
            os.close(descriptor)


def _main() -> None:
    from trainer.cli.quiet_start import import_tensorflow

    import_tensorflow()
    for name in _PRELOADED:
        importlib.import_module(name)
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is None:
        return
    # The old ones believe that they are at what they were opened for, such as a file.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    module, *flags = request["arguments"]
    sys.argv[1:] = flags
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
