"""Lets the accesses to a run's files fail, one at a time; each time nothing may be lost.

  python -m tests.faults --jobs=2

It writes down every call by which training, sampling, evaluation, export, report and preparing
reach files, of Python as of TensorFlow's C++ (tests/helpers/faulty_files.c stands before libc).
Then it gives each command again for the first and the last call of every kind (a kind: the call
and the file's name without its numbers), and lets that call fail: no room there and from then on,
an error of the disk, no permission, a read that is cut short. Each case checks that the command
ends with 0, 1 or 2 and without a traceback, with a sentence if not with 0, and leaves no half file
under a final name; and that the same command then ends with the same bits as without the fault,
and with no temporary file: once for all faults that leave the same. It needs gcc. Exit code 0: all
survived.
"""

import collections
import concurrent.futures
import itertools
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers.soak import parsed

if TYPE_CHECKING:
    from tests.helpers.faulty_commands import Case, FaultyCommands

_NAME = "faulty_files"
_FAULTS_OF = {
    "read": ("EIO", "short"),
    "open": ("EIO", "EACCES"),
    "list": ("EIO", "EACCES"),
    "create": ("ENOSPC", "EIO", "EACCES"),
    "mkdir": ("ENOSPC", "EACCES"),
    "unlink": ("EIO", "EACCES"),
    "rmdir": ("EIO", "EACCES"),
}
_FAULTS_OF_WRITES = ("ENOSPC", "EIO")


def cases_of(scenario: str, calls: list[str], seen: set[str]) -> "Iterator[Case]":
    """The first and the last call of each kind that is not `seen`, with each fault it can have."""
    from tests.helpers.faulty_commands import Case

    numbers: dict[str, list[int]] = collections.defaultdict(list)
    for number, call in enumerate(calls, start=1):
        numbers[kind_of(call)].append(number)
    for kind, found in numbers.items():
        if kind in seen:
            continue
        for nth in sorted({found[0], found[-1]}):
            for fault in _FAULTS_OF.get(kind.split()[0], _FAULTS_OF_WRITES):
                yield Case(scenario, nth, kind, fault)


def kind_of(call: str) -> str:
    """Such as `write checkpoints/step-N.index`."""
    name, path = call.split(" ", 1)
    short = "/".join(Path(path).parts[-2:])
    return f"{name} {re.sub(r'[0-9]+', 'N', re.sub(r'tmp-.*|tempstate.*', 'tmp', short))}"


def main() -> None:
    """Parses the command line, and starts again with libc's calls in our hands."""
    given = parsed(
        __doc__,
        jobs=(2, "cases at a time"),
        scenarios=("", "which commands, such as train,report; left out: all"),
        cases=(0, "of each command, evenly chosen; 0: all"),
    )
    with tempfile.TemporaryDirectory() as folder:
        if _NAME not in os.environ.get("LD_PRELOAD", ""):
            library = f"{folder}/{_NAME}.so"
            source = Path(__file__).parent / f"helpers/{_NAME}.c"
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
            environment = os.environ | {"LD_PRELOAD": library, "TF_CPP_MIN_LOG_LEVEL": "3"}
            # Threads for matrices of 64 x 64 wait for one another, on a busy machine for long.
            environment |= {"OPENBLAS_NUM_THREADS": "1"}
            command = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
            sys.exit(subprocess.run(command, env=environment).returncode)
        # Not before: TensorFlow takes seconds to import.
        from tests.helpers.faulty_commands import SCENARIOS, FaultyCommands

        began, commands = time.monotonic(), FaultyCommands(Path(folder))
        chosen = given.scenarios.split(",") if given.scenarios else list(SCENARIOS)
        of_a_run = any(SCENARIOS[name].start != "new" for name in chosen)
        needed = {*chosen, "train"} if of_a_run else set(chosen)
        cases: list[Case] = []
        of_training: set[str] = set()
        for name in SCENARIOS:
            if name not in needed:
                continue
            calls = commands.reference(name)
            kinds = set(map(kind_of, calls))
            print(f"{name}: {len(calls)} calls of {len(kinds)} kinds", flush=True)
            # A resumed run repeats most of a new one.
            found = list(cases_of(name, calls, of_training if name == "resume" else set()))
            if name in chosen:
                cases += found[:: max(len(found) // given.cases, 1) if given.cases else 1]
            of_training |= kinds if name == "train" else set()
        fell = _run(commands, cases, given.jobs)
    print(f"{len(cases) - fell} of {len(cases)} survived, {time.monotonic() - began:.0f} s")
    sys.exit(int(fell > 0))


def _run(commands: "FaultyCommands", cases: "list[Case]", jobs: int) -> int:
    """Tries all cases and prints those that fall, and how many there are; the number that fell."""
    fell, context = 0, multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
        tried = zip(cases, pool.map(commands.survives, cases), strict=True)
        for scenario, group in itertools.groupby(tried, key=lambda each: each[0].scenario):
            began, before, counts = time.monotonic(), fell, collections.Counter[str]()
            for case, wrong in group:
                counts[f"{case.kind.split()[0]} {case.fault}"] += 1
                if wrong:
                    fell += 1
                    print(f"FELL {case}\n{wrong}\n", flush=True)
            survived = f"{counts.total() - fell + before} of {counts.total()} survived"
            told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            print(f"{scenario}: {survived}, {time.monotonic() - began:.0f} s: {told}", flush=True)
    return fell


if __name__ == "__main__":
    main()
