import os

from trainer.cli.cpu import use_fast_kernels

# Before anything here imports TensorFlow; the programs under test do it themselves.
use_fast_kernels()
# Before NumPy: its threads wait by spinning, and several tests at a time have no core to spare.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
