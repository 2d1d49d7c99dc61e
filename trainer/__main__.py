"""`python -m trainer`: the same as `python -m trainer.main`."""

from trainer.main import run

run()
