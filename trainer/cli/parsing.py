"""What the smaller command lines share: absl's flags, with our exit codes."""

import sys

from absl import flags


def parse_flags(argv: list[str]) -> list[str]:
    """Parses flags; bad ones end the process with 2 where absl would say 1, --help with 0."""
    try:
        return list(flags.FLAGS(argv))
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit:
        # absl leaves --help with 1, which a script takes for a failure.
        sys.exit(0)
