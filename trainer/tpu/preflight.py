"""What a TPU's compiler says of a config's step, without a TPU.

The compiler is the real one, so what it refuses and how much memory it plans are facts. Time is
not: nothing is run, and a roofline is a limit that no run passes, not a promise.
"""

import concurrent.futures
import copy
import dataclasses
import json
import os
from collections.abc import Callable

import tensorflow as tf

from trainer.config import Config
from trainer.data.tfrecord import MANIFEST_NAME, read_manifest
from trainer.run.schedule import Schedule
from trainer.storage.files import write_text
from trainer.strategy import check_shares
from trainer.tpu.chips import Topology, parse_topology
from trainer.tpu.compile_report import CompileReport, compile_report
from trainer.tpu.compiler import Compiler, Executable, check_installed
from trainer.tpu.step_program import ReplicaOfMany, step_program

_MILLION = 1_000_000


@dataclasses.dataclass(frozen=True)
class WholeRun:
    """What the config's run takes of the topology at the least."""

    images: int
    """Real ones that the run takes; a million where it is not known how many."""
    images_known: bool
    chip_hours_at_least: float


def preflight(config: Config, topology_name: str, output: str | None) -> None:
    """Compiles a config's step for a topology such as `v5e:2x2`, prints what the compiler says.

    `output` is a JSON file for the same figures, or None.

    Raises:
        UserError: no such topology, chips that cannot share the groups, jax or libtpu not
            installed, or a step that the compiler refuses or that does not fit.
    """
    topology = parse_topology(topology_name)
    versions = check_installed()
    check_shares(config, ReplicaOfMany(topology.num_chips))
    reports = compile_reports(config, topology)
    run = whole_run(config, topology, reports[-1])
    print(table(topology, versions, reports, run))
    if output:
        found = {
            "topology": topology.name,
            "versions": versions,
            "verdicts": [_as_dict(report) for report in reports],
            "run": dataclasses.asdict(run),
        }
        write_text(output, json.dumps(found, indent=2) + "\n")
        print(output)


def compile_reports(config: Config, topology: Topology) -> list[CompileReport]:
    """One chip's share without all-reduces; then, of several chips, the step on all of them."""
    config = copy.deepcopy(config)
    if config.train.convolutions == "auto":
        config.train.convolutions = "plain"  # what auto means where the devices are TPUs
    config.train.jit_compile = "false"  # TPUStrategy compiles everything itself
    variants, every = [config], config.loss.penalty_every_steps
    if config.loss.penalty != "none" and every > 1:
        variants.append(copy.deepcopy(config))
        variants[1].loss.penalty = "none"
    chips = topology.num_chips
    kinds = [("one chip, no all-reduce", 1), (f"{topology.name}, all-reduce", chips)]
    kinds = kinds if chips > 1 else [("one chip", 1)]
    programs = [
        (step_program(variant, ReplicaOfMany(chips, sums_over_replicas=together > 1)), together)
        for _, together in kinds
        for variant in variants
    ]

    compiler = Compiler(topology)

    def compiled(program: tuple[bytes, int]) -> Executable:
        return compiler.compile(*program)

    # The compiler takes one core a program, and leaves Python alone meanwhile.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        executables = list(pool.map(compiled, programs))
    batch = (
        config.images_per_step // chips,
        config.train.global_batch_size // config.group_size // chips,
    )
    return [
        compile_report(
            name,
            topology,
            together,
            batch,
            tuple(executables[place * len(variants) : (place + 1) * len(variants)]),
            share_of_first=1 / every if len(variants) > 1 else 1.0,
        )
        for place, (name, together) in enumerate(kinds)
    ]


def whole_run(config: Config, topology: Topology, report: CompileReport) -> WholeRun:
    """The least chip-hours of the run, at the roofline."""
    folder = config.data.records_dir
    images, known = _MILLION, True
    if config.train.steps:
        images = config.train.steps * config.images_per_step
    elif tf.io.gfile.exists(tf.io.gfile.join(folder, MANIFEST_NAME)):
        steps = Schedule(config, read_manifest(folder).num_images).total_steps
        images = steps * config.images_per_step
    else:
        known = False
    seconds = images / report.images_per_second_at_most
    return WholeRun(images, known, topology.num_chips * seconds / 3600)


def table(topology: Topology, versions: str, reports: list[CompileReport], run: WholeRun) -> str:
    """The reports side by side, a line a figure, and what is to be known beside them."""
    figures: dict[str, Callable[[CompileReport], str]] = {
        "": lambda v: v.name,
        "real images a chip, in groups": lambda v: f"{v.images_per_chip}, in {v.groups_per_chip}",
        "compiled in": lambda v: f"{v.compile_seconds:.0f} s",
        "peak HBM": lambda v: _share(v.peak_hbm_bytes, topology.chip.hbm_bytes),
        "FLOPs": lambda v: _of_step(v, v.flops, "M"),
        "bytes accessed, HBM and on chip": lambda v: _of_step(v, v.bytes_accessed, "MB"),
        "bytes through HBM": lambda v: _of_step(v, v.hbm_bytes_moved, "MB"),
        "bytes added up over the chips": lambda v: f"{v.all_reduce_bytes / 1e6:.2f} MB",
        "padding, share of all arrays": lambda v: (
            f"{1 - v.padding.logical_bytes / v.padding.padded_bytes:.0%}"
        ),
        "at least, to compute": lambda v: f"{v.roofline.compute_seconds * 1e6:.1f} us",
        "at least, for HBM": lambda v: f"{v.roofline.memory_seconds * 1e6:.1f} us",
        "at least, between chips": lambda v: f"{v.roofline.interconnect_seconds * 1e6:.1f} us",
        "bound by": lambda v: v.roofline.bound,
        "images/s, at most": lambda v: f"{v.images_per_second_at_most:,.0f}",
    }
    width = max(len(figure(v)) for figure in figures.values() for v in reports) + 3
    lines = [f"The step on {topology.name}, {topology.num_chips} chip(s); {versions}"]
    for title, figure in figures.items():
        lines.append(f"{title:32}" + "".join(f"{figure(v):>{width}}" for v in reports))
    lines.append("Counts are of one chip and one step (in brackets: of one real image).")
    lines.append("Arrays with the most padding:")
    for array in reports[-1].padding.worst:
        logical, padded = int(array["logical_bytes"]) / 1e6, int(array["padded_bytes"]) / 1e6
        lines.append(f"  {logical:.2f} -> {padded:.2f} MB  {array['shape']}  {array['origin']}")
    what = f"The run, {run.images:,} images" if run.images_known else "A million images"
    lines.append(f"{what}: at least {run.chip_hours_at_least:.2g} chip-hours.")
    lines.append("Nothing was run: all times are limits, at the chip's peaks, and no promise.")
    return "\n".join(lines)


def _of_step(report: CompileReport, count: float, unit: str) -> str:
    return f"{count / 1e6:,.1f} {unit} ({count / report.images_per_chip / 1e6:.2f} {unit})"


def _share(used: float, whole: float) -> str:
    return f"{used / 2**20:,.1f} MiB, {used / whole:.1%}"


def _as_dict(report: CompileReport) -> dict[str, object]:
    return dataclasses.asdict(report) | {
        "bound_by": report.roofline.bound,
        "images_per_second_at_most": report.images_per_second_at_most,
    }
