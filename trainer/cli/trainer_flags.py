"""The flags of `python -m trainer.main`, and which of its modes uses which."""

import difflib
import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from trainer.cli import config_files
from trainer.cli.config_parsers import register_parsers
from trainer.cli.paths import PathParser
from trainer.config import Config
from trainer.config_fields import fields_of_name, is_field, unknown_field_message
from trainer.errors import UserError

MODES = ("train", "sample", "export", "evaluate", "report", "preflight")
MODES_OF: dict[str, tuple[str, ...]] = {
    "config": ("train", "evaluate", "preflight"),
    "run_dir": ("train", "sample", "export", "evaluate", "report"),
    "strategy": ("train",),
    "topology": ("preflight",),
    "logical_devices": ("train",),
    "deterministic": ("train",),
    "compile_cache": ("train",),
    "checkpoint": ("sample", "export", "evaluate"),
    "count": ("sample", "evaluate"),
    "sample_seed": ("sample", "evaluate"),
    "output": ("sample", "export", "evaluate", "report", "preflight"),
    "label": ("sample",),
    "truncation": ("sample",),
    "interpolation_steps": ("sample",),
    "real": ("evaluate",),
    "trust_saved_models": ("train", "evaluate"),
    "sweep": ("train",),
    "sweep_rungs": ("train",),
    "sweep_processes": ("train",),
}
"""The modes that use a flag, by the flag's name."""

register_parsers()
_config_arguments: list[str] = []
CONFIG = config_flags.DEFINE_config_dataclass(
    "config",
    Config(),
    "The file of the config or, of those in configs/, its name, such as mnist; left out: "
    f"{config_files.DEFAULT}. evaluate: where the real images are; left out: as each run.",
    parse_fn=config_files.load_config,
    # In place of sys.argv, whose --config.* would be applied here and now, errors uncaught.
    sys_argv=_config_arguments,
)
MODE = flags.DEFINE_enum("mode", "train", MODES, "What to do.")
RUN_DIR = flags.DEFINE(
    PathParser(),
    "run_dir",
    None,
    "Run directory, local or gs://; left out: runs/NAME, the name being the config's. evaluate "
    "and report: one or more, separated by commas; evaluate takes SavedModels, folders of "
    "pictures and .npz files too. sample, export, evaluate: pretrained:NAME, a generator that "
    "comes along.",
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "cpu", "mirrored", "multiworker", "tpu"],
    "Where to train; auto: the best that this machine has.",
)
TOPOLOGY = flags.DEFINE_string(
    "topology",
    "v5e:2x2",
    "The TPU to compile for, its kind (v5e, v5p, v6e) and the shape of its chips; each chip is "
    "a replica, and so takes whole groups.",
)
LOGICAL_DEVICES = flags.DEFINE_integer(
    "logical_devices", 0, "Split the CPU into so many devices, to try replicas.", lower_bound=0
)
DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "Use only operations whose results never vary; may be slower."
)
COMPILE_CACHE = flags.DEFINE(
    PathParser(),
    "compile_cache",
    None,
    "A folder where compiled programs are kept for the next start; the first is slower.",
)
CHECKPOINT = flags.DEFINE_string("checkpoint", "", "best, or step-N; left out: the newest.")
COUNT = flags.DEFINE_integer(
    "count",
    None,
    "sample: images, or rows of an interpolation; left out: 64. evaluate: samples; left out: "
    "evaluation.images of the config.",
    lower_bound=1,
)
SAMPLE_SEED = flags.DEFINE_integer(
    "sample_seed", 0, "Decides the latents.", lower_bound=0, upper_bound=2**31 - 1
)
OUTPUT = flags.DEFINE(
    PathParser(),
    "output",
    None,
    "sample: FILE.png (a grid), FILE.npz or a folder; left out: RUN_DIR/samples/seed_S.png. "
    "export: a folder; left out: RUN_DIR/export. evaluate, preflight: FILE.json. "
    "report: FILE.html.",
)
REAL = flags.DEFINE(
    PathParser(),
    "real",
    None,
    "The real images, in place of the config's: a folder of pictures, an .npz, or any source that "
    "trainer.data.prepare takes.",
)
LABEL = flags.DEFINE_string(
    "label", None, "The class of a conditional model, by name or number; left out: each in turn."
)
TRUNCATION = flags.DEFINE_float(
    "truncation",
    math.inf,
    "Keep latents within so many standard deviations; 1 or less: fewer outliers, less variety.",
)
INTERPOLATION_STEPS = flags.DEFINE_integer(
    "interpolation_steps", 0, "Above 0: images from one latent to another.", lower_bound=0
)
TRUST_SAVED_MODELS = flags.DEFINE_bool(
    "trust_saved_models",
    False,
    "Run SavedModels (evaluation.extractor, and what evaluate scores): they are programs, which "
    "can read and write files. Without it they are refused.",
)
SWEEP = flags.DEFINE_multi_string(
    "sweep",
    [],
    "FIELD=VALUE,VALUE: a run for each value, in folders of RUN_DIR; several: all "
    "combinations. Where a value is itself a list, semicolons part the values, in quotes: "
    "--sweep='model.generator_filters=128,96,64;64,48,32'.",
)
SWEEP_RUNGS = flags.DEFINE_list(
    "sweep_rungs",
    [],
    "EPOCHS,EPOCHS: trains all combinations of a sweep to the first number of epochs, the best "
    "third of them to the next, and so on; by evaluation.best_by, mean over seeds.",
)
SWEEP_PROCESSES = flags.DEFINE_integer(
    "sweep_processes", 1, "Runs of a sweep at a time.", lower_bound=1
)


def parse(argv: Sequence[str]) -> list[str]:
    """Parses the flags of trainer.main.

    Where the mode trains or compiles and no --config is given, it is that of `DEFAULT`.

    Returns:
        The program's name and what is no flag.

    Raises:
        UserError: a flag or a config field that there is not, with the nearest that there is; a
            flag that the mode does not use, with the modes that do.
    """
    arguments = flags.FLAGS.read_flags_from_files(list(argv), force_gnu=False)
    while len(places := _places_of_config(arguments)) > 1:
        # The last one counts, as of other flags; two would each define the config's fields.
        del arguments[places[0] : places[0] + (1 if "=" in arguments[places[0]] else 2)]
    mode = asked_mode(arguments)
    given = {_name(argument): argument for argument in arguments[1:] if argument.startswith("-")}
    fields = {name: arg for name, arg in given.items() if name.startswith("config.")}
    for name, argument in given.items():
        _check_used(name.split(".")[0], argument, mode)
    for name, argument in fields.items():
        field = name.removeprefix("config.")
        if not is_field(Config(), field):
            raise UserError(f"{argument}: {unknown_field_message(Config(), field)}")
    # Beside --real, a config says no more than how to measure.
    if "config" not in given and (mode in ("train", "preflight") or "real" in given):
        arguments.insert(1, f"--config={config_files.DEFAULT}")
    elif "config" not in given and fields:
        raise UserError(
            f"{next(iter(fields.values()))} changes a config, and --mode={mode} has one only if "
            "you give --config too."
        )
    _config_arguments[:] = arguments
    try:
        return flags.FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        raise UserError(_unknown_flag(error.flagname, mode)) from error
    except flags.Error as error:
        raise UserError(str(error)) from error


def arguments() -> list[str]:
    """Those of the command, flag files read and the default config named; after `parse`."""
    return _config_arguments[1:]


def asked_mode(arguments: Sequence[str]) -> str:
    """The value of --mode, before the flags are parsed."""
    mode = MODE.default
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, separator, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "mode":
            mode = value if separator else following
    return mode


def config_name() -> str:
    """What --config names, after the flags are parsed."""
    given = CONFIG.present
    return (
        config_flags.get_config_filename(flags.FLAGS["config"]) if given else config_files.DEFAULT
    )


def asked_source() -> str | None:
    """The `data.source` of the command line itself, after the flags are parsed."""
    asked: dict[str, str] = config_flags.get_override_values(flags.FLAGS["config"])
    return asked.get("data.source")


def default_run_dir() -> str:
    """`runs/mnist` where --config names mnist.py, and `runs/digits` where it is not given."""
    return os.path.join("runs", Path(config_name()).stem)


def _places_of_config(arguments: Sequence[str]) -> list[int]:
    return [
        index
        for index, argument in enumerate(arguments)
        if argument.startswith("-") and _name(argument) == "config"
    ]


def _name(argument: str) -> str:
    name = argument.lstrip("-").partition("=")[0]
    without_no = name.removeprefix("no")
    return without_no if without_no in MODES_OF else name


def _check_used(name: str, argument: str, mode: str) -> None:
    modes = MODES_OF.get(name, MODES)
    if mode in MODES and mode not in modes:
        raise UserError(f"{argument} is not used by --mode={mode}, only by {', '.join(modes)}.")


def _unknown_flag(name: str, mode: str) -> str:
    """What to say of a flag that there is not."""
    known = ["mode", *(flag for flag, modes in MODES_OF.items() if mode in modes)]
    near = difflib.get_close_matches(name, known, n=1)
    near += [flag for flag in known if flag.endswith(f"_{name}")]
    if mode in MODES_OF["config"]:
        near += [f"config.{field}" for field in fields_of_name(Config(), name)]
    mend = f"did you mean --{' or --'.join(near)}?" if near else "--help shows those of each mode."
    return f"there is no flag --{name}: {mend}"
