r"""Takes a config that ran locally to another machine.

Commands:
  submit    start a job and print its id
  render    print the exact request that submit would make; needs no network
  status    where a job stands
  logs      what its workers print
  cancel    end it; it saves first
  list      the jobs of this place

Everything after -- goes to the trainer as it is.

Examples:
  Two workers on this machine, restarted together if one dies:
    python -m launch.main submit --backend=local --workers=2 --config=configs/digits.py \
        --run_dir=runs/two -- --config.train.group_size=8

  What would be sent to Vertex AI for eight chips of a TPU v5e:
    python -m launch.main render --backend=vertex --config=configs/mnist.py \
        --run_dir=gs://BUCKET/runs/mnist --image=IMAGE --accelerator=v5e-8 --spot \
        --project=PROJECT --region=us-west4 -- --config.train.group_size=8

Exit codes: 0 done; 2 bad usage; 3 the cloud refused or did not answer. status: 0 the job has
succeeded, 1 it has failed or was cancelled, 4 it has not ended. submit --watch: as status.
submit --backend=local: the exit code of the trainer.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from launch.backend import Cloud, Jobs, JobState, JobStatus
from launch.catalog import find_accelerator
from launch.command_line import parse
from launch.errors import LaunchError, ServiceError
from launch.job import JobSpec
from launch.local import Local

if TYPE_CHECKING:
    from launch.tpu_vm import TpuVm

_PRICES = {
    "tpu": "https://cloud.google.com/tpu/pricing",
    "gpu": "https://cloud.google.com/compute/gpus-pricing",
    "cpu": "https://cloud.google.com/compute/all-pricing",
}
_NOT_ENDED = 4


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code."""
    own, trainer = _split(list(arguments))
    try:
        options = parse(own, __doc__)
        return _COMMANDS[options.command](options, trainer)
    except LaunchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except ModuleNotFoundError as error:
        print(
            f"error: --backend={options.backend} needs {error.name}: "
            "pip install -e '.[launch]' in the folder of the project.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130


def run() -> NoReturn:
    """Does what the command line asks for, and ends the process."""
    sys.exit(main(sys.argv[1:]))


def _submit(options: argparse.Namespace, trainer: list[str]) -> int:
    if options.dry_run:
        return _render(options, trainer)
    job = _job(options, trainer)
    if options.watch:
        return _watch(options, job)
    if options.backend == "local":
        return Local(options.max_restarts).run(job)
    _tell_cost(options, job)
    print(_cloud(options).submit(job))
    print("submitted; status, logs --follow and cancel take the id above.", file=sys.stderr)
    return 0


def _watch(options: argparse.Namespace, job: JobSpec) -> int:
    if options.backend != "tpu_vm":
        raise LaunchError(
            f"--watch with --backend={options.backend}: leave it out, a job there starts again by "
            "itself."
        )
    _tell_cost(options, job)
    return _exit_code(_tpu_vm(options).watch(job, options.max_restarts))


def _render(options: argparse.Namespace, trainer: list[str]) -> int:
    job = _job(options, trainer)
    if options.backend == "skypilot":
        from launch.skypilot import render_task

        print(render_task(job), end="")
        return 0
    if options.backend != "local":
        _tell_cost(options, job)
    print(_jobs(options).render(job), end="")
    return 0


def _status(options: argparse.Namespace, _: list[str]) -> int:
    status = _jobs(options).status(options.job)
    _print_table([status])
    return _exit_code(status)


def _logs(options: argparse.Namespace, _: list[str]) -> int:
    for line in _jobs(options).logs(options.job, options.follow):
        print(line, flush=True)
    return 0


def _cancel(options: argparse.Namespace, _: list[str]) -> int:
    _jobs(options).cancel(options.job)
    return 0


def _list(options: argparse.Namespace, _: list[str]) -> int:
    _print_table(_jobs(options).list())
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "submit": _submit,
    "render": _render,
    "status": _status,
    "logs": _logs,
    "cancel": _cancel,
    "list": _list,
}


def _exit_code(status: JobStatus) -> int:
    if not status.state.is_final:
        return _NOT_ENDED
    return 0 if status.state is JobState.SUCCEEDED else 1


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our own arguments, and the trainer's after --."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _jobs(options: argparse.Namespace) -> Jobs:
    return Local(options.max_restarts) if options.backend == "local" else _cloud(options)


def _cloud(options: argparse.Namespace) -> Cloud:
    # Imported here: each needs a client of its own, which not everyone has installed.
    if options.backend == "vertex":
        from launch.vertex import Vertex

        return Vertex(
            _required(options, "project"),
            _required(options, "region"),
            service_account=options.service_account,
            tensorboard=options.tensorboard,
        )
    if options.backend == "gke":
        from launch.gke import Gke

        return Gke(
            options.namespace,
            context=options.context,
            queue=options.queue,
            service_account=options.service_account,
            max_restarts=options.max_restarts,
        )
    return _tpu_vm(options)


def _tpu_vm(options: argparse.Namespace) -> "TpuVm":
    from launch.tpu_vm import TpuVm

    return TpuVm(
        _required(options, "project"),
        _required(options, "zone"),
        service_account=options.service_account,
        runtime_version=options.runtime_version,
    )


def _required(options: argparse.Namespace, name: str) -> str:
    value = getattr(options, name)
    if not value:
        raise LaunchError(f"--{name} is missing: --backend={options.backend} needs it.")
    return value


def _job(options: argparse.Namespace, trainer: list[str]) -> JobSpec:
    if not options.run_dir:
        raise LaunchError("--run_dir is missing: give the folder or gs:// address of the run.")
    labels = dict(label.partition("=")[::2] for label in options.label)
    return JobSpec(
        name=options.name or _name_of(options.run_dir),
        config=options.config,
        run_dir=options.run_dir,
        accelerator=find_accelerator(options.accelerator),
        image=options.image,
        workers=options.workers,
        spot=options.spot,
        max_hours=options.max_hours,
        trainer_arguments=tuple(trainer),
        labels=labels,
    )


def _name_of(run_dir: str) -> str:
    """`mnist-best` of `gs://bucket/runs/mnist_best/`."""
    last = os.path.basename(run_dir.rstrip("/")).lower()
    return re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:40]


def _tell_cost(options: argparse.Namespace, job: JobSpec) -> None:
    chips, what = (job.chips, "chips") if job.chips else (job.workers, "machines")
    # A JobSet knows no limit over all of its starts.
    each_start = options.backend == "gke" and job.workers > 1
    limit = "from each start on, at most" if each_start else "at most"
    print(
        f"{limit} {chips} {what} x {job.max_hours:g} h = {chips * job.max_hours:g} "
        f"{what[:-1]}-hours; prices: {_PRICES[job.accelerator.kind]}",
        file=sys.stderr,
    )
    if not job.spot:
        print(
            "note: without --spot this is the full price; the trainer resumes to the last bit, so "
            "a machine that is taken away costs only the steps since the last checkpoint.",
            file=sys.stderr,
        )


def _print_table(statuses: Sequence[JobStatus]) -> None:
    rows = [("JOB", "STATE", "CREATED", "DETAIL")]
    rows += [(s.job_id, s.state.value, s.created or "-", s.detail) for s in statuses]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        print("  ".join([*cells, row[3]]).rstrip())


if __name__ == "__main__":
    run()
