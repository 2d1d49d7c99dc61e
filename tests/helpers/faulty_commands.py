"""Commands whose accesses to files fail, for `tests.faults`; libc's calls must be in our hands."""

import ctypes
import dataclasses
import errno
import hashlib
import json
import os
import re
import runpy
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.command import CONFIG, assert_same_run
from tests.helpers.examples import prepared
from trainer.cli.quiet_start import import_tensorflow

_SHORT_READ = -1
FAULTS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES, "short": _SHORT_READ}
_TEMPORARY = re.compile(r"\.tmp|_temp|tempstate")
# TensorFlow 2.21 reads the index several times and dies where a later time fails alone.
_KILLS_TENSORFLOW = re.compile(r"read \w+/step-N\.index")
_TRAIN = (
    *("--config.train.jit_compile=false", "--config.train.group_size=0"),
    *("--config.model.generator_filters=4,2", "--config.model.discriminator_filters=2,2"),
    *("--config.train.checkpoint_every_steps=1", "--config.train.checkpoints_to_keep=2"),
    *("--config.train.log_every_steps=1", "--config.train.grid_images=400"),
    *("--config.evaluation.every_epochs=1", "--config.evaluation.images=130"),
    "--config.evaluation.extractor=random",
)
_RUN = ("--run_dir={folder}/run", "--config={folder}/tiny.py", *_TRAIN)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A command, the folder that it starts from, and whether two folders have the same result."""

    module: str
    flags: tuple[str, ...]
    start: str
    compare: Callable[[Path, Path], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """A scenario whose call number `nth` fails."""

    scenario: str
    nth: int
    kind: str
    fault: str


def _same_training(steps: int) -> Callable[[Path, Path], None]:
    def compare(folder: Path, reference: Path) -> None:
        assert_same_run(reference / "run", folder / "run", steps)
        assert _events(folder / "run") == _events(reference / "run")

    return compare


def _same_bytes(*patterns: str) -> Callable[[Path, Path], None]:
    def compare(folder: Path, reference: Path) -> None:
        names = [path.relative_to(reference) for p in patterns for path in reference.glob(p)]
        assert names, patterns
        for name in names:
            assert (folder / name).read_bytes() == (reference / name).read_bytes(), name

    return compare


def _same_measures(folder: Path, reference: Path) -> None:
    ours, theirs = (
        json.loads((each / "run/evaluation.json").read_text()) for each in (folder, reference)
    )
    assert ours[0]["measures"] == theirs[0]["measures"]


SCENARIOS = {
    "prepare": Scenario(
        "trainer.data.prepare",
        ("--source=npz:{base}/images.npz", "--output={folder}/made", "--shards=2"),
        "new",
        _same_bytes("made/*"),
    ),
    "train": Scenario("trainer.main", (*_RUN, "--config.train.steps=2"), "new", _same_training(2)),
    "resume": Scenario("trainer.main", (*_RUN, "--config.train.steps=3"), "cut", _same_training(3)),
    "sample": Scenario(
        "trainer.main",
        ("--mode=sample", "--run_dir={folder}/run", "--count=5", "--output={folder}/out/pngs"),
        "trained",
        _same_bytes("out/pngs/*"),
    ),
    "export": Scenario(
        "trainer.main",
        ("--mode=export", "--run_dir={folder}/run"),
        "trained",
        _same_bytes("run/export/variables/*.data*"),
    ),
    "evaluate": Scenario(
        "trainer.main",
        ("--mode=evaluate", "--run_dir={folder}/run", "--count=130"),
        "trained",
        _same_measures,
    ),
    "report": Scenario(
        "trainer.main",
        ("--mode=report", "--run_dir={folder}/run", "--output={folder}/out/a.html"),
        "trained",
        lambda folder, reference: _check_whole(folder / "out"),
    ),
}


class FaultyCommands:
    """The folders of all commands, and how to give one with a fault or without."""

    def __init__(self, base: Path) -> None:
        """Imports what the commands need, so that each is a fork of this process."""
        import_tensorflow()
        import tensorflow as tf

        import trainer.evaluate_runs
        import trainer.evaluation.evaluate
        import trainer.sampling.export
        import trainer.train

        # Tracing and intervals take most of a command's time, and reach no file.
        tf.config.run_functions_eagerly(True)
        trainer.evaluation.evaluate._RESAMPLES = 2

        self.base = base
        (base / "new").mkdir()
        (base / "survived").mkdir()
        images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)
        self._in_child(lambda: prepared(base, images), base / "prepared.txt")
        shutil.copytree(base / "records", base / "new/records")

    def give(self, name: str, folder: Path, nth: int = 0, fault: int = 0) -> tuple[int, str]:
        """Runs a scenario's command on a folder: its exit code, and what it printed."""
        scenario, log = SCENARIOS[name], folder / "calls.txt"
        log.unlink(missing_ok=True)
        (folder / "tiny.py").write_text(CONFIG.format(records=str(folder / "records")))
        watched = "".join(f"{folder / each}:" for each in ("run", "records", "made", "out"))

        def command() -> None:
            lasting = int(fault == errno.ENOSPC)
            ctypes.CDLL(None).arm(watched.encode(), str(log).encode(), nth, fault, lasting)
            flags = (flag.format(folder=folder, base=self.base) for flag in scenario.flags)
            sys.argv = [scenario.module, *flags]
            runpy.run_module(scenario.module, run_name="__main__", alter_sys=True)

        code = self._in_child(command, folder / "printed.txt")
        return code, (folder / "printed.txt").read_text(errors="replace")

    def reference(self, name: str) -> list[str]:
        """Gives a command without a fault, in a folder of its name; the calls that it made."""
        folder = shutil.copytree(self.base / SCENARIOS[name].start, self.base / name)
        code, printed = self.give(name, folder)
        assert code == 0, printed
        if name == "train":
            shutil.copytree(folder, self.base / "trained")
            self.give("export", self.base / "trained")
            shutil.copytree(folder, self.base / "cut")
            for path in (self.base / "cut/run/checkpoints").glob("step-2.*"):
                path.unlink()
            shutil.rmtree(self.base / "cut/records/features")
        return (folder / "calls.txt").read_text().splitlines()

    def survives(self, case: Case) -> str:
        """Gives a command with its fault, then without; what was wrong, empty if nothing.

        Where the fault left what an earlier one did, the second command is known to survive.
        """
        scenario = SCENARIOS[case.scenario]
        folder = Path(tempfile.mkdtemp(dir=self.base))
        shutil.copytree(self.base / scenario.start, folder, dirs_exist_ok=True)
        first, printed, hit = "", "", "nothing"
        try:
            code, first = self.give(case.scenario, folder, case.nth, FAULTS[case.fault])
            calls = (folder / "calls.txt").read_text().splitlines()
            hit = next((call for call in calls if call.endswith(" fails")), hit)
            if not (code == -signal.SIGSEGV and _KILLS_TENSORFLOW.fullmatch(case.kind)):
                assert code in (0, 1, 2), f"exit code {code}"
                assert "Traceback" not in first, "a traceback"
                last = first.strip().splitlines()[-1]
                assert code == 0 or last.startswith("error: "), "no sentence"
            _check_whole(folder, tidy=False)
            known = self.base / "survived" / f"{case.scenario} {_state(folder)}"
            if known.exists():
                return ""
            code, printed = self.give(case.scenario, folder)
            assert code == 0, f"then exit code {code}"
            left = [path for path in folder.rglob("*") if _TEMPORARY.search(path.name)]
            assert not left, f"left: {left}"
            _check_whole(folder)
            scenario.compare(folder, self.base / case.scenario)
            known.touch()
        except Exception as error:
            return f"hit: {hit}\n{type(error).__name__}: {error}\n{first}\nthen\n{printed}"
        finally:
            shutil.rmtree(folder)
        return ""

    @staticmethod
    def _in_child(command: Callable[[], object], output: Path) -> int:
        """Calls a function in a fork of this process, which TensorFlow's import has not begun."""
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        code = 99
        try:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1), os.dup2(file, 2)
            command()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _state(folder: Path) -> str:
    """A hash of all names and bytes, without times, speeds and numbers of processes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        content = content.replace(str(folder).encode(), b"")
        if path.suffix in (".json", ".jsonl", ".lock", ".txt"):
            content = re.sub(rb"[-+\d.:eT]+", b"N", content)
        elif "tfevents" in path.name:
            content = str(len(content)).encode()
        if path.parent != folder:  # not what was called and printed
            name = re.sub(r"\d{3,}", "N", str(path.relative_to(folder)))
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _check_whole(folder: Path, tidy: bool = True) -> None:
    """Checks that no file under a final name is half there.

    Unless `tidy`, an old checkpoint may be that is no longer in the list of those that there are.
    """
    for path in (path for path in folder.rglob("*") if path.is_file()):
        if _TEMPORARY.search(str(path.relative_to(folder))):
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            json.loads(content)
        elif path.suffix in (".png", ".gif"):
            Image.open(path).load()
        elif path.suffix == ".html":
            assert content.rstrip().endswith(b"</html>"), path
        elif path.suffix == ".npz":
            np.load(path)
        elif path.name == "saved_model.pb":
            assert path.with_name("variables").joinpath("variables.index").exists(), path
        elif path.parent.name in ("checkpoints", "best") and path.name != "checkpoint":
            stem = path.name.split(".")[0]
            if not tidy and f'"{stem}"' not in path.with_name("checkpoint").read_text():
                continue
            assert {each.name.split(".")[1][:4] for each in path.parent.glob(f"{stem}.*")} == {
                *("inde", "data")
            }, path


def _events(run: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    names = [name for name in events.Tags()["tensors"] if name.startswith(("loss/", "samples/"))]
    return {name: [event.step for event in events.Tensors(name)] for name in names}
