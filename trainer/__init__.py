"""Trains generative adversarial networks."""

import signal
import sys

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # python -m trainer...: no traceback of imports, until `cli.command` ends in words.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
