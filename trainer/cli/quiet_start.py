"""TensorFlow without what it prints of itself before our first line; its errors stay."""

import contextlib
import importlib
import os
import re
import signal
import sys
import types
from collections.abc import Iterator

from trainer.cli.cpu import use_fast_kernels
from trainer.cli.heap import keep_freed_memory

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_STDERR = 2
_WRAPPED_BY_KERAS = ("matplotlib", "sklearn")
_KNOWN = re.compile(
    b"|".join(
        (
            rb"WARNING: All log messages before absl::InitializeLog",
            rb"I\d{4} ",  # a note, as TensorFlow's C++ writes it now
            rb"\d{4}-\d\d-\d\d [\d:.]+: I ",  # and as it wrote it before
            rb"To enable the following instructions: ",  # the second line of a note
            # The driver of CUDA or a GPU is not there; every other failure of cuInit is shown.
            rb"E\d{4} .*failed call to cuInit: .*(\(303\)|CUDA_ERROR_NO_DEVICE)",
            # Of tensorflow[and-cuda] 2.20, at every start.
            rb"E\d{4} .*Unable to register cu(BLAS|DNN|FFT) factory",
            rb"W\d{4} .*computation placer already registered",
        )
    )
)


def import_tensorflow() -> None:
    """Imports TensorFlow and lets it look for devices; call it before all that imports it.

    Later it logs errors only. Where TF_CPP_MIN_LOG_LEVEL is set, that decides: at 0 and 1
    every line is shown.
    """
    os.environ.setdefault(_LEVEL, "2")
    keep_freed_memory()
    choose_settings()
    # What a config file has imported has already said all of itself.
    shows_all = "tensorflow" in sys.modules or os.environ[_LEVEL] in ("0", "1")
    with contextlib.nullcontext() if shows_all else without_known_lines(), _without_wrapped():
        import keras
        import tensorflow as tf

        # Otherwise it would look, and complain that there is no GPU, at the first operation.
        tf.config.list_physical_devices()
    # Whatever keras.json says: it would decide over results.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


def choose_settings() -> None:
    """Sets what else the environment would choose for TensorFlow, Keras and Matplotlib.

    Call it before any of them is imported, as a config file may do.
    """
    use_fast_kernels()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull


def import_matplotlib_figure() -> types.ModuleType:
    """Matplotlib's module of that name with its own settings; the import takes half a second."""
    # A matplotlibrc in the working folder would come first.
    with contextlib.chdir(os.path.dirname(os.devnull)):
        return importlib.import_module("matplotlib.figure")


@contextlib.contextmanager
def _without_wrapped() -> Iterator[None]:
    """Lets Keras take what it only wraps for not installed: to import it takes seconds."""
    absent = {name: None for name in _WRAPPED_BY_KERAS if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextlib.contextmanager
def without_known_lines() -> Iterator[None]:
    """Leaves TensorFlow's notes at its start out of what this process writes to stderr.

    TensorFlow logs them before it reads its log level, so they can only be taken out of the
    stream. A child process does that: it goes on if this process is aborted in between, and then
    still passes on why. Call it before any thread is started.
    """
    sys.stderr.flush()
    ours = os.dup(_STDERR)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        _pass_on(read_end, ours)
        os._exit(0)
    os.close(read_end)
    os.dup2(write_end, _STDERR)
    os.close(write_end)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(ours, _STDERR)
        os.close(ours)
        os.waitpid(child, 0)


def _pass_on(source: int, target: int) -> None:
    # Ends with its parent, which Ctrl-C may not.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(source, "rb") as lines:
        for line in lines:
            if not _KNOWN.match(line):
                os.write(target, line)
