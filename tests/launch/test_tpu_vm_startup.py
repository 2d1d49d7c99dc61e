"""tpu_vm_startup.sh as it is, in a VM of stand-ins: gs:// is a folder, the container a process."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.command import wait_for

SCRIPT = Path(__file__).parents[2] / "launch/tpu_vm_startup.sh"

# Each notes its arguments, then does what the real one would do as far as the script can tell.
STAND_INS = {
    # curl ... URL
    "curl": 'cat "$VM/metadata/${*: -1}" 2>/dev/null || exit 22',
    "systemctl": '[[ $1 == start ]] || cat "$VM/system"',
    "gcloud": """
        local_path() { [[ $1 == gs://* ]] && echo "$VM/gs/${1#gs://}" || echo "$1"; }
        case "$1 $2" in
        "storage cp")
            from=$(local_path "$3") to=$(local_path "$4")
            [[ $from == - ]] && from=/dev/stdin
            echo "Copying $3 to $4" >&2
            mkdir -p "$(dirname "$to")"
            cat "$from" >"$to.new" && mv "$to.new" "$to" ;;
        "storage cat") cat "$(local_path "$3")" ;;
        "storage ls") ls "$(local_path "$3")" ;;
        "auth print-access-token") echo the-token ;;
        "compute tpus")
            [[ ! -e $VM/may-not-delete ]] || { echo "PERMISSION_DENIED" >&2; exit 1; } ;;
        *) exit 2 ;;
        esac
    """,
    "docker": """
        case $1 in
        login) cat >"$VM/password"; echo "Login Succeeded" ;;
        rm) rm -f "$VM"/container-* ;;
        pull) echo "$3"; [[ $3 != *missing* ]] || { echo "manifest unknown" >&2; exit 1; } ;;
        run)
            while [[ $1 != --entrypoint=* ]]; do shift; done
            program=${1#*=} && shift 2
            (
                bash -c 'echo $$ >"$VM/container-pid"; exec "$@"' - "$program" "$@" \\
                    >"$VM/container-log" 2>&1
                echo $? >"$VM/container-exit"
            ) >/dev/null 2>&1 &
            echo 0123456789ab
            until [[ -s $VM/container-log || -e $VM/container-exit ]]; do sleep 0.01; done ;;
        logs)
            sleep 0.1
            tail -n +1 --follow --sleep-interval=0.01 --pid="$(<"$VM/container-pid")" \\
                "$VM/container-log" ;;
        inspect)
            case $2 in
            *Running*) [[ -e $VM/container-exit ]] && echo false || echo true ;;
            *ExitCode*) cat "$VM/container-exit" ;;
            esac ;;
        stop) kill -TERM "$(<"$VM/container-pid")"
            until [[ -e $VM/container-exit ]]; do sleep 0.01; done ;;
        wait) until [[ -e $VM/container-exit ]]; do sleep 0.01; done ;;
        esac
    """,
    "python": 'source "$VM/trainer"',
}
TRAINS_TO_THE_END = 'printf "[%s]" "$@"; echo; echo "to stderr" >&2'
TRAINS_UNTIL_TOLD = """
    trap 'echo saved; exit 143' TERM
    echo training
    while true; do sleep 0.01; done
"""


class Vm:
    """A TPU VM in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launch = folder / "gs/bucket/runs/mnist/launch"
        (folder / "bin").mkdir()
        (folder / "home").mkdir()
        for name, body in STAND_INS.items():
            stand_in = folder / "bin" / name
            note = f'echo "{name} $*" >>"$VM/calls"'
            stand_in.write_text(f"#!/bin/bash\n{note}\n{body}\n")
            stand_in.chmod(0o755)
        self.launch.mkdir(parents=True)
        (folder / "system").write_text("running\n")
        for key, value in {
            "image": "us-docker.pkg.dev/p/r/trainer:1",
            "command": "python -m trainer.main --config=configs/mnist.py '--name=a b;$(c)'",
            "folder": "gs://bucket/runs/mnist/launch",
            "max-seconds": "3600",
            "node": "projects/p/locations/z/nodes/mnist",
        }.items():
            self.tell(key, value)

    def tell(self, key: str, value: str) -> None:
        """Sets the metadata that the VM was created with."""
        url = f"http://metadata.google.internal/computeMetadata/v1/instance/attributes/launch-{key}"
        path = self.folder / "metadata" / url
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)

    def boot(self, trainer: str) -> None:
        """Runs the script to its end."""
        process = self.boot_without_waiting(trainer)
        assert process.wait(timeout=20) == 0

    def boot_without_waiting(self, trainer: str) -> "subprocess.Popen[bytes]":
        (self.folder / "trainer").write_text(trainer)
        return subprocess.Popen(
            [str(SCRIPT)],
            env={
                "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
                "VM": str(self.folder),
                "HOME": str(self.folder / "home"),
                "TMPDIR": str(self.folder),
            },
        )

    def assert_ended(self, state: str, detail: str) -> None:
        """It has reported its end so, and has asked for its deletion once."""
        report = self.report()
        assert (report["state"], report["detail"]) == (state, detail)
        assert self.calls("gcloud compute") == [DELETION]

    def report(self) -> dict[str, object]:
        return json.loads((self.launch / "worker-0.json").read_text())

    def log(self) -> list[str]:
        return (self.launch / "worker-0.log").read_text().splitlines()

    def calls(self, start: str) -> list[str]:
        """What was called, of those that start like this."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith(start)]


DELETION = "gcloud compute tpus tpu-vm delete projects/p/locations/z/nodes/mnist --quiet"


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    vm = Vm(tmp_path)
    yield vm
    pid = tmp_path / "container-pid"
    if pid.exists() and not (tmp_path / "container-exit").exists():
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_job_that_trains_to_its_end(vm: Vm) -> None:
    vm.boot(TRAINS_TO_THE_END)
    assert vm.log() == [
        "[-m][trainer.main][--config=configs/mnist.py][--name=a b;$(c)]",
        "to stderr",
    ]
    vm.assert_ended("succeeded", "exit code 0")
    (run,) = vm.calls("docker run")
    for flag in ("--privileged", "--net=host", "--stop-timeout=300", "--init"):
        assert f" {flag} " in run
    assert [call.split()[1] for call in vm.calls("gcloud")[-2:]] == ["storage", "compute"]


def test_the_registry_gets_a_token_and_the_log_does_not(vm: Vm) -> None:
    vm.boot(TRAINS_TO_THE_END)
    assert (vm.folder / "password").read_text() == "the-token\n"
    assert vm.calls("docker login") == [
        "docker login --username oauth2accesstoken --password-stdin https://us-docker.pkg.dev"
    ]
    assert "the-token" not in "".join(vm.log())
    (vm.launch / "worker-0.json").unlink()
    vm.tell("image", "eagcr.io/me/trainer:1")
    vm.boot(TRAINS_TO_THE_END)
    assert len(vm.calls("docker login")) == 1, "a token of ours is for our registry only"


@pytest.mark.parametrize("code", [1, 2, 137])
def test_the_exit_code_is_reported(vm: Vm, code: int) -> None:
    vm.boot(f"echo error: no data; exit {code}")
    vm.assert_ended("failed", f"exit code {code}")
    assert vm.log() == ["error: no data"]


def test_an_image_that_is_not_there(vm: Vm) -> None:
    vm.tell("image", "us-docker.pkg.dev/p/r/missing:1")
    vm.boot(TRAINS_TO_THE_END)
    assert vm.report()["state"] == "failed" and vm.log() == ["manifest unknown"]
    assert vm.calls("gcloud compute") == [DELETION]


def test_cancel_lets_the_trainer_save(vm: Vm) -> None:
    (vm.launch / "cancel").touch()
    vm.boot(TRAINS_UNTIL_TOLD)
    vm.assert_ended("cancelled", "exit code 143, cancelled")
    assert vm.log()[-1] == "saved"


def test_max_hours_end_it_whatever_it_does(vm: Vm) -> None:
    vm.tell("max-seconds", "1")
    vm.boot(TRAINS_UNTIL_TOLD)
    vm.assert_ended("failed", "exit code 143, --max_hours are over")
    assert vm.report()["seconds"] in (1, 2) and vm.log()[-1] == "saved"


def test_a_vm_that_goes_down_and_comes_again(vm: Vm) -> None:
    script = vm.boot_without_waiting(TRAINS_UNTIL_TOLD)
    wait_for(vm.launch / "worker-0.json", seconds=20)
    assert vm.report()["state"] == "running"
    # What the VM's shutdown-script does.
    (vm.folder / "system").write_text("stopping\n")
    command = [str(vm.folder / "bin/docker"), "stop", "trainer"]
    subprocess.run(command, env=os.environ | {"VM": str(vm.folder)}, check=True)
    assert script.wait(timeout=20) == 0
    report = vm.report()
    assert report["state"] == "waiting"
    assert report["detail"] == "the VM goes down; exit code 143"
    assert vm.log() == ["training", "saved"]
    assert not vm.calls("gcloud compute"), "the job is not over"
    report["seconds"] = 3000
    (vm.launch / "worker-0.json").write_text(json.dumps(report))
    (vm.folder / "system").write_text("running\n")
    vm.boot(TRAINS_TO_THE_END)
    assert vm.log()[:2] == ["training", "saved"] and len(vm.log()) == 4
    report = vm.report()
    assert report["state"] == "succeeded" and report["seconds"] in (3000, 3001, 3002)


def test_hours_of_earlier_vms_count(vm: Vm) -> None:
    earlier = {"state": "running", "detail": "", "seconds": 3600}
    (vm.launch / "worker-0.json").write_text(json.dumps(earlier))
    vm.boot(TRAINS_UNTIL_TOLD)
    assert vm.report()["detail"] == "exit code 143, --max_hours are over"


def test_an_ended_job_does_not_run_again(vm: Vm) -> None:
    (vm.folder / "may-not-delete").touch()
    vm.boot(TRAINS_TO_THE_END)
    assert vm.log()[-1] == "PERMISSION_DENIED", "why the VM is still there"
    vm.boot(TRAINS_TO_THE_END)
    assert len(vm.calls("docker run")) == 1 and vm.calls("gcloud compute") == [DELETION] * 2
    assert vm.report()["state"] == "succeeded"
