"""Measures the trainer beside its peers, and prints one Markdown table.

  All benches (make bench installs what they need first):
    python -m bench.main

  Some of them:
    python -m bench.main step input

  Whether everything runs; its figures are worthless:
    python -m bench.main --quick

Benches:
{benches}

Every figure is a ratio of turns taken in the same round, or an amount of that round: minimum,
median and spread over the rounds. Results go to runs/bench/BENCH.json with a description of the
machine, the table to runs/bench/table.md. Nothing else should run meanwhile.

Exit codes: 0 done, 1 a bench failed, 2 bad usage.
"""

import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence

from absl import app, flags

_BENCHES = {
    "step": "our step against PyTorch, JAX and Keras",
    "recipes": "our step with penalties against PyTorch, small batches against Keras",
    "shipped": "images a second of every shipped config",
    "limit": "operations a second of our step over those of a matrix product",
    "loop": "the whole training loop over the bare step",
    "input": "our reader against what the step takes, tfds and PyTorch",
    "start": "seconds to the first step",
    "second_start": "seconds of make train, started a second time",
    "scaling": "batch sizes, replicas, workers, memory",
    "evaluate": "seconds to score 10,000 samples",
}
_QUICK = flags.DEFINE_bool("quick", False, "Few, short rounds: shows that everything runs.")


def main(argv: Sequence[str]) -> None:
    """Runs the benches named, or all."""
    # They load TensorFlow, for which --help should not wait.
    from bench.machine import describe, one_line
    from bench.report import RESULTS_DIR, table, write_json
    from trainer.storage.files import write_text

    names = argv[1:] or list(_BENCHES)
    if unknown := [name for name in names if name not in _BENCHES]:
        print(f"error: no bench {unknown[0]!r}; there are {', '.join(_BENCHES)}.", file=sys.stderr)
        sys.exit(2)
    machine = describe()
    print(one_line(machine))
    results, failed = {}, []
    for name in names:
        print(f"{name}: {_BENCHES[name]} ...", flush=True)
        started = time.perf_counter()
        try:
            results[name] = importlib.import_module(f"bench.{name}").run(_QUICK.value)
        except Exception:  # the other benches can still be measured
            traceback.print_exc()
            failed.append(name)
            continue
        path = write_json(name, results[name], machine)
        print(f"{name}: {path}, after {time.perf_counter() - started:.0f} s", flush=True)
    if not results:
        sys.exit(1)
    text = table(results, machine)
    write_text(os.path.join(RESULTS_DIR, "table.md"), text)
    print(f"\n{text}")
    if failed:
        print(f"error: {', '.join(failed)} failed; see above.", file=sys.stderr)
        sys.exit(1)


def _parse_flags(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit:  # absl leaves --help with 1
        sys.exit(0)


if __name__ == "__main__":
    _lines = "\n".join(f"  {name:14}{what}" for name, what in _BENCHES.items())
    __doc__ = __doc__.format(benches=_lines)
    app.run(main, flags_parser=_parse_flags)
