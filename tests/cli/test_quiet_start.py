import json
import os
import subprocess
import sys
from pathlib import Path

NOTE = "I0000 00:00:1.5 7 port.cc:153] oneDNN custom operations are on."
NO_GPU = "E0000 00:00:1.5 7 cuda_platform.cc:52] failed call to cuInit: INTERNAL: (303)"
FAULT = "E0000 00:00:1.5 7 cuda_platform.cc:52] failed call to cuInit: INTERNAL: (999)"


def stderr_of(code: str, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True).stderr


def test_tensorflow_tells_its_errors_and_of_itself_only_where_asked_to() -> None:
    code = """
import socket
from trainer.cli.quiet_start import import_tensorflow
import_tensorflow()
import tensorflow as tf
taken = socket.create_server(("127.0.0.1", 0))
cluster = {"worker": [f"127.0.0.1:{taken.getsockname()[1]}"]}
try:
    tf.distribute.Server(cluster, "worker", 0)
except tf.errors.OpError:
    pass
"""
    lines = stderr_of(code).splitlines()
    assert "Could not start gRPC server" in lines[-1]
    assert all(line.startswith("E0000") for line in lines), lines
    # On any CPU, so that there is a note.
    told = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_ENABLE_ONEDNN_OPTS": "1"}
    assert "oneDNN" in stderr_of(code, **told)


def test_what_is_no_known_line_is_passed_on_even_from_a_process_that_is_aborted() -> None:
    code = f"""
import os
from trainer.cli.quiet_start import without_known_lines
with without_known_lines():
    for line in ({NOTE!r}, {NO_GPU!r}, {FAULT!r}, "not of TensorFlow"):
        os.write(2, line.encode() + b"\\n")
os.write(2, {NOTE!r}.encode() + b"\\n")
with without_known_lines():
    os.write(2, b"F0000 why")
    os.abort()
"""
    assert stderr_of(code) == f"{FAULT}\nnot of TensorFlow\n{NOTE}\nF0000 why"


def test_nothing_that_keras_is_told_elsewhere_decides_over_results(tmp_path: Path) -> None:
    told = {"backend": "torch", "floatx": "float16", "epsilon": 0.5}
    (tmp_path / "keras.json").write_text(
        json.dumps(told | {"image_data_format": "channels_first"}), encoding="utf-8"
    )
    (tmp_path / "mine.py").write_text(
        "import keras\nimport trainer.config\nkeras.config.set_dtype_policy('mixed_bfloat16')\n"
        "def get_config():\n    return trainer.config.Config()\n"
    )
    code = """
from trainer.cli import command, config_files
from trainer.cli.quiet_start import import_tensorflow
def show():
    config_files.load_config({!r})
    import_tensorflow()
    import sys, keras
    f = keras.config
    print(f.backend(), f.floatx(), f.epsilon(), f.image_data_format(), file=sys.stderr)
    print(f.dtype_policy().name, file=sys.stderr)
command.run(show)
"""
    told_elsewhere = {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    found = stderr_of(code.format(str(tmp_path / "mine.py")), **told_elsewhere).splitlines()
    assert found[-2:] == ["tensorflow float32 1e-07 channels_last", "float32"]


def test_nothing_that_is_told_to_matplotlib_decides(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    code = f"""
import os, sys
from trainer.cli.quiet_start import import_matplotlib_figure, import_tensorflow
os.chdir({str(tmp_path)!r})
import_tensorflow()
print(import_matplotlib_figure().Figure().dpi, os.getcwd(), file=sys.stderr)
"""
    found = stderr_of(code, MPLBACKEND="nonsense", MATPLOTLIBRC="matplotlibrc").splitlines()
    assert found[-1] == f"100.0 {tmp_path}"


def test_what_keras_only_wraps_waits_for_whoever_needs_it() -> None:
    code = """
import sys
from trainer.cli.quiet_start import import_tensorflow
import_tensorflow()
wrapped = {"matplotlib", "sklearn"}
print(wrapped & sys.modules.keys(), file=sys.stderr)
import matplotlib, sklearn.datasets
print(wrapped <= sys.modules.keys(), file=sys.stderr)
"""
    assert stderr_of(code).splitlines()[-2:] == ["set()", "True"]
