import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.programs import run_python

ROOT = str(Path(__file__).parents[2])
PROGRAM = """
import os, signal, sys
from trainer.cli import command

def work():
    try:
        os.kill(os.getpid(), signal.{name})
        signal.pause()
    except:  # as TensorFlow does at places
        print("swallowed")
    try:
        signal.pause()
    finally:
        print("cleaned up")

command._AGAIN_SECONDS = 1
command.run(work)
"""


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_a_command_in_words(name: str, code: int) -> None:
    done = run_python("-c", PROGRAM.format(name=name))
    assert done.returncode == code
    assert done.stdout == "swallowed\ncleaned up\n"
    assert done.stderr == "interrupted; what was saved before stays.\n"


def test_ctrl_c_ends_the_imports_of_a_command_without_a_traceback() -> None:
    code = "import signal, sys; sys.argv[0] = {!r}; import trainer; print(signal.getsignal(2))"
    handler = {argv: run_python("-c", code.format(argv)).stdout for argv in ("-m", "program.py")}
    assert handler["-m"] == f"{signal.SIG_DFL!r}\n" or handler["-m"] == "0\n"
    assert "default_int_handler" in handler["program.py"]


def test_only_a_path_has_a_home_folder_and_only_utf_8_is_read(tmp_path: Path) -> None:
    code = (
        "import sys; from absl import flags; from trainer.cli import command\n"
        "from trainer.cli.paths import PathParser\n"
        "flags.DEFINE_multi_string('a', [], '')\n"
        "flags.DEFINE(PathParser(), 'path', None, '')\n"
        "command.run(lambda: print(flags.FLAGS.a, flags.FLAGS.path))"
    )
    (tmp_path / "flags").write_text("--path=~/y")
    given = ["~/x", "~", "images:~/x", "caf\u00e9"]
    environment = {"HOME": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    done = run_python(
        "-c", code, *(f"--a={each}" for each in given), "--flagfile=~/flags", **environment
    )
    assert done.stdout == f"{given!a} {tmp_path}/y\n", done.stderr
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    refused = run_python("-c", code, "--flagfile=~/binary", **environment)
    assert refused.returncode == 2
    assert re.fullmatch("error: what --flagfile names is no text: .*\n", refused.stderr)
    refused = run_python("-c", code, "--a=x\udcff", **environment)
    assert refused.returncode == 2
    assert re.fullmatch(r"error: the name '--a=x\\udcff' is not UTF-8, .*\n", refused.stderr)


def test_a_working_folder_that_was_deleted(tmp_path: Path) -> None:
    code = "import os; os.rmdir(os.getcwd()); from trainer.cli import command; command.run(print)"
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the working folder has been deleted: change to one that is there.\n"
    )


def test_closed_streams_are_given_to_no_file(tmp_path: Path) -> None:
    code = """
import logging, os, sys
from trainer.cli import command

def work():
    print("to nobody")
    print("to nobody", file=sys.stderr)
    logging.getLogger("trainer").error("to nobody")
    with open("file", "w") as file:
        file.write(str(file.fileno() > 2))
    sys.exit(7)

command.run(work)
"""
    closed = f"exec '{sys.executable}' \"$0\" <&- >&- 2>&-"
    (tmp_path / "program.py").write_text(code)
    done = subprocess.run(
        ["sh", "-c", closed, "program.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": ROOT}
    )
    assert done.returncode == 7
    assert (tmp_path / "file").read_text() == "True"
