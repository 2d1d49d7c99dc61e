"""Matplotlib's Figure, the same whatever is told to Matplotlib on this machine."""

import contextlib
import os

os.environ["MPLBACKEND"] = "agg"
os.environ["MATPLOTLIBRC"] = os.devnull
# A matplotlibrc in the working folder would come first.
with contextlib.chdir(os.path.dirname(os.devnull)):
    from matplotlib.figure import Figure

__all__ = ["Figure"]
