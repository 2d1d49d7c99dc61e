"""What `python -m trainer.main --help` shows: the asked mode first, the whole in --helpfull."""

import itertools
import textwrap
from collections.abc import Sequence

from absl import flags

from trainer.cli.trainer_flags import MODES, MODES_OF, asked_mode
from trainer.config import Config
from trainer.config_fields import meanings

_WIDTH_CHARACTERS = 100
_WHAT = {
    "train": "trains a config, or goes on from the last checkpoint of its run directory",
    "sample": "draws images from a trained run",
    "export": "writes a SavedModel that needs nothing of this project",
    "evaluate": "scores images of runs or SavedModels: Frechet distance, coverage, ...",
    "report": "writes one HTML page on one or several runs",
    "preflight": "asks the TPU's compiler about a config, without a TPU: memory, FLOPs, limits",
}
_EXAMPLES = {
    "train": r"""
The digits that come with scikit-learn, on this machine (minutes):
  python -m trainer.main
A config by its name in configs/ or by its path, with any of its fields changed:
  python -m trainer.main --config=mnist --config.train.epochs=2 \
      --config.model.generator_filters=64,64,32
Stopped, killed or cut off? The same command again goes on from the last checkpoint.
Several values of a field, two runs at a time:
  python -m trainer.main --run_dir=runs/seeds --sweep=seed=1,2,3 --sweep_processes=2
Of several values the best: all for 2 epochs, the best third of them for 20:
  python -m trainer.main --config=mnist --run_dir=runs/norms --sweep_rungs=2,20 \
      --sweep=seed=1,2 --sweep=model.discriminator_norm=none,layer,batch
Two replicas without a GPU:
  python -m trainer.main --run_dir=runs/two --strategy=mirrored --logical_devices=2 \
      --config.train.group_size=8
Watch: tensorboard --logdir runs
""",
    "sample": r"""
One grid, arrays, files, an interpolation between latents:
  python -m trainer.main --mode=sample --run_dir=runs/digits --output=grid.png
  python -m trainer.main --mode=sample --run_dir=runs/digits --count=10000 --output=fake.npz
  python -m trainer.main --mode=sample --run_dir=runs/digits --count=100 --output=folder
  python -m trainer.main --mode=sample --run_dir=runs/digits --count=8 \
      --interpolation_steps=10 --output=interpolation.png
""",
    "export": r"""
  python -m trainer.main --mode=export --run_dir=runs/digits
""",
    "evaluate": r"""
One run, or several together:
  python -m trainer.main --mode=evaluate --run_dir=runs/mnist
  python -m trainer.main --mode=evaluate --run_dir=runs/a,runs/b --checkpoint=best --count=10000
""",
    "report": r"""
  python -m trainer.main --mode=report --run_dir=runs/a,runs/b --output=report.html
""",
    "preflight": r"""
It needs jax and libtpu: pip install jax jaxlib libtpu
  python -m trainer.main --mode=preflight --config=mnist --topology=v5e:2x2 \
      --config.train.group_size=16 --output=preflight.json
""",
}
_EXIT_CODES = (
    "Exit codes: 0 done, 1 failure, 2 bad usage or bad input, "
    "130 Ctrl-C and 143 SIGTERM after saving."
)


def answer(argv: Sequence[str]) -> str:
    """What --help or --helpfull shows; empty where neither is given."""
    asked = {argument.lstrip("-") for argument in argv[1:] if argument.startswith("-")}
    if "helpfull" in asked:
        return whole_help()
    if asked & {"help", "helpshort", "h", "?"}:
        mode = asked_mode(argv)
        return help_of(mode if mode in MODES else "train")
    return ""


def help_of(mode: str) -> str:
    """The examples and flags of one mode, and the fields of its config without their meaning."""
    lines = _about(mode)
    if mode in MODES_OF["config"]:
        lines += [
            "",
            "Fields, --config.FIELD=VALUE, and what they are where the config does not set them",
            "(--helpfull: what each means):",
        ]
        for _, fields in itertools.groupby(meanings(Config()), lambda name: name.split(".")[0]):
            lines += _wrapped("  ".join(fields), indent=2)
    others = [f"  --mode={each:10}{what}" for each, what in _WHAT.items() if each != mode]
    lines += ["", "The other modes, each with a --help of its own:", *others, "", _EXIT_CODES]
    return "\n".join(lines)


def whole_help() -> str:
    """All modes, all flags, all fields."""
    lines = []
    for mode in MODES:
        lines += [*_about(mode), ""]
    lines += ["Fields, with what they are where the config does not set them:"]
    for field, meaning in meanings(Config()).items():
        lines += [f"  --config.{field}", *_wrapped(meaning, indent=6)]
    lines += ["", "Flags of absl, which reads the flags:"]
    for module, of_module in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("absl"):
            for flag in of_module:
                lines += _described(flag)
    return "\n".join([*lines, "", _EXIT_CODES])


def _about(mode: str) -> list[str]:
    lines = [f"--mode={mode} {_WHAT[mode]}.", *_EXAMPLES[mode].splitlines(), "", "Flags:"]
    for name, modes in MODES_OF.items():
        if mode in modes:
            lines += _described(flags.FLAGS[name])
    return lines


def _described(flag: flags.Flag) -> list[str]:
    shown = "" if flag.default in (None, "", []) or flag.name == "config" else f"={flag.default}"
    # absl adds to the help of a flag that may be repeated.
    meaning = flag.help.partition(";\n")[0]
    return [f"  --{flag.name}{shown}", *_wrapped(meaning, indent=6)]


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH_CHARACTERS,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
