"""Trains generative adversarial networks."""

import signal
import sys

# `python -m trainer.MODULE` imports this package before all else, and "-m" is still in the place of
# the program's name. Ctrl-C during the imports, which take a second, is to end the process in
# silence and not with a traceback of them; `cli.command` then sets its own handler. A program that
# imports the package itself keeps Python's.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
