"""Whatever config validates trains two steps, or is refused with a sentence.

  python -m tests.any_config --examples=40

draws small configs at random, with values at the ends of their ranges, and trains each two steps in
this process; every tenth is compiled by XLA. Exit code 0: each trained or was refused with a
sentence. Of those that fell, the fields that are not as in `Config()` are shown.
"""

import contextlib
import io
import sys
import tempfile
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.helpers.any_config import Records, differing, outcome, valid_configs
from tests.helpers.soak import parsed
from trainer.config import Config


def main() -> int:
    """Parses the command line, tries the examples, tells what came of them."""
    arguments = parsed(__doc__, examples=(40, "configs to try"))
    told: list[str] = []
    made: Records = {}
    with tempfile.TemporaryDirectory() as folder:
        # Not made smaller where it falls, since each try takes seconds.
        @seed(arguments.seed)
        @settings(
            max_examples=arguments.examples,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(valid_configs(), st.integers(0, 9))
        def try_one(config: Config, number: int) -> None:
            config.train.jit_compile = "true" if number == 9 else "false"
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    told.append(outcome(config, Path(folder), made))
            except Exception:
                traceback.print_exc()
                told.append(f"FELL: {differing(config)}")
            print(f"{len(told):4d}  {told[-1]}", flush=True)

        try_one()
    trained, fell = told.count("trained"), sum(each.startswith("FELL") for each in told)
    refused = len(told) - trained - fell
    print(f"{trained} trained two steps, {refused} were refused with a sentence, {fell} fell")
    return 1 if fell else 0


if __name__ == "__main__":
    sys.exit(main())
