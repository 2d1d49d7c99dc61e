from trainer.cli.cpu import use_fast_kernels

# Before anything here imports TensorFlow; the programs under test do it themselves.
use_fast_kernels()
