"""The commands and flags of `python -m launch.main`."""

import argparse
import difflib
import importlib.metadata
from collections.abc import Sequence
from typing import Any, NoReturn

from launch.errors import LaunchError

_BACKENDS = ("local", "vertex", "gke", "tpu_vm")
_IN_A_CONTAINER = ("vertex", "gke", "tpu_vm", "skypilot")
_BACKENDS_OF = {
    "image": _IN_A_CONTAINER,
    "spot": _IN_A_CONTAINER,
    "label": _IN_A_CONTAINER,
    "project": ("vertex", "tpu_vm"),
    "region": ("vertex",),
    "zone": ("tpu_vm",),
    "service_account": ("vertex", "gke", "tpu_vm"),
    "tensorboard": ("vertex",),
    "namespace": ("gke",),
    "context": ("gke",),
    "queue": ("gke",),
    "runtime_version": ("tpu_vm",),
    "max_restarts": ("local", "gke", "tpu_vm"),
}
"""The backends that use a flag; those that are not here, all do."""


class _Parser(argparse.ArgumentParser):
    """Raises its errors, where argparse prints them below three lines of usage."""

    def error(self, message: str) -> NoReturn:
        raise LaunchError(f"{message}: see --help.")


def parse(arguments: Sequence[str], description: str | None) -> argparse.Namespace:
    """The command and its flags; ends the process after --help and --version.

    `description` is what --help shows above the commands.

    Raises:
        LaunchError: bad usage, or a flag that the backend does not use.
    """
    options, unknown = _parser(description).parse_known_args(arguments)
    for argument in unknown:
        name = argument.lstrip("-").partition("=")[0]
        near = [] if "." in name else difflib.get_close_matches(name, vars(options), n=1)
        mend = f"did you mean --{near[0]}?" if near else "the trainer's own flags go after --."
        raise LaunchError(f"{argument}: {options.command} takes no such argument: {mend}")
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0]
        backends = _BACKENDS_OF.get(name, ()) if argument.startswith("--") else ()
        if backends and options.backend not in backends:
            raise LaunchError(
                f"{argument} is not used by --backend={options.backend}, only by "
                f"{', '.join(backends)}."
            )
    return options


def _parser(description: str | None) -> _Parser:
    parser = _Parser(
        prog="python -m launch.main",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    place, job = _place_flags(), _job_flags()
    submit = _command(commands, "submit", "start a job and print its id", [place, job])
    submit.add_argument("--dry_run", action="store_true", help="the same as the command render")
    submit.add_argument(
        "--watch",
        action="store_true",
        help="tpu_vm: stay until the job has ended, and take a new VM whenever one is taken away, "
        "--max_restarts times at most",
    )
    render = _command(commands, "render", "print what submit would send", [place, job])
    _add_backend(submit, _BACKENDS)
    _add_backend(render, (*_BACKENDS, "skypilot"))
    for name, what in (
        ("status", "where a job stands"),
        ("logs", "what its workers print"),
        ("cancel", "end a job; it saves first"),
    ):
        one = _command(commands, name, what, [place])
        _add_backend(one, _BACKENDS)
        one.add_argument("job", metavar="JOB", help="what submit printed; local: the name")
        if name == "logs":
            one.add_argument("--follow", action="store_true", help="go on until the job has ended")
    every = _command(commands, "list", "the jobs of a place", [place])
    _add_backend(every, _BACKENDS)
    return parser


def _command(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    what: str,
    parents: list[_Parser],
) -> _Parser:
    return commands.add_parser(
        name, help=what, description=f"{what.capitalize()}.", parents=parents, allow_abbrev=False
    )


def _add_backend(parser: _Parser, names: Sequence[str]) -> None:
    parser.add_argument("--backend", required=True, choices=names, help="where")


def _version() -> str:
    try:
        return f"dcgan-trainer {importlib.metadata.version('dcgan-trainer')}"
    except importlib.metadata.PackageNotFoundError:
        return "dcgan-trainer, not installed: run from its folder"


def _job_flags() -> _Parser:
    flags = _Parser(add_help=False)
    job = flags.add_argument_group("the job")
    _add(job, "config", "config, as the trainer's --config takes it", default="")
    _add(job, "run_dir", "run directory; on clouds gs://BUCKET/...", default="")
    _add(job, "name", "default: the last part of the run directory", default="")
    _add(job, "image", "container image with the trainer", default="")
    _add(job, "accelerator", "cpu, v5e-8, v5p-8, v6e-8, h100-8, ... (cpu)", default="cpu")
    _add(job, "workers", "machines that train together (1)", type=int, default=1)
    _add(job, "spot", "cheaper machines that may be taken away", action="store_true")
    _add(job, "max_hours", "ended after so long (24)", type=float, default=24.0)
    _add(job, "label", "for bills; repeatable", action="append", default=[], metavar="KEY=VALUE")
    return flags


def _place_flags() -> _Parser:
    flags = _Parser(add_help=False)
    place = flags.add_argument_group("the place")
    _add(place, "project", "Google Cloud project", default="")
    _add(place, "region", "such as us-west4", default="")
    _add(place, "zone", "such as us-west4-a", default="")
    _add(place, "service_account", "whose rights the job has; default: the place's own", default="")
    _add(place, "tensorboard", "a TensorBoard resource's name", default="")
    _add(place, "namespace", "the job's (default)", default="default")
    _add(place, "context", "of the kubeconfig; default: its own", default="")
    _add(place, "queue", "Kueue's local queue, if there is one", default="")
    _add(place, "runtime_version", "in place of the catalog's", default="")
    _add(
        place,
        "max_restarts",
        "starts after a failure; submit --watch: new VMs (3)",
        type=int,
        default=3,
    )
    return flags


def _add(group: argparse._ArgumentGroup, name: str, what: str, **options: Any) -> None:
    backends = _BACKENDS_OF.get(name, ())
    group.add_argument(
        f"--{name}", help=f"{', '.join(backends)}: {what}" if backends else what, **options
    )
