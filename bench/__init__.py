"""Measures the trainer beside its peers."""

import os

from trainer.cli.cpu import use_fast_kernels

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The peers' TensorFlow too: who knows the variable has it in Keras.
use_fast_kernels()
