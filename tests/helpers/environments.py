"""Odd environments of a process, which must not change what a run computes."""

import json
from pathlib import Path

Environment = dict[str, str]


def environments(folder: Path) -> dict[str, Environment]:
    """Variables by a name of what is odd; the files that they point to are made in `folder`.

    Nothing can be written below a file, be it by root or by a user.
    """
    a_file = folder / "a-file"
    a_file.write_text("in place of a folder")
    keras_home = folder / "keras"
    keras_home.mkdir(exist_ok=True)
    told = {"backend": "torch", "floatx": "float16", "epsilon": 0.5}
    (keras_home / "keras.json").write_text(
        json.dumps(told | {"image_data_format": "channels_first"}), encoding="utf-8"
    )
    (keras_home / "matplotlibrc").write_text("savefig.dpi: 10\nimage.cmap: gray\n")
    nowhere = f"{a_file}/nowhere"
    return {
        "Keras on JAX": {"KERAS_BACKEND": "jax"},
        "keras.json": {"KERAS_HOME": str(keras_home)},
        "Keras of old": {"TF_USE_LEGACY_KERAS": "1"},
        "XLA for all": {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"},
        "flags of XLA": {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true"},
        "deterministic": {"TF_DETERMINISTIC_OPS": "1", "TF_CUDNN_DETERMINISTIC": "1"},
        "no GPU": {"CUDA_VISIBLE_DEVICES": "-1"},
        "one thread": {
            **{"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"},
            **{"TF_NUM_INTEROP_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        },
        "ASCII": {
            **{"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
            **{"PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        },
        "a Turkish locale": {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"},
        "no asserts, no docstrings": {"PYTHONOPTIMIZE": "2"},
        "another hash seed": {"PYTHONHASHSEED": "12345"},
        "warnings are errors": {"PYTHONWARNINGS": "error"},
        "no home": {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "XDG_CONFIG_HOME": nowhere},
        "no folder for temporary files": {"TMPDIR": nowhere, "TEMP": nowhere, "TMP": nowhere},
        "Matplotlib": {"MPLBACKEND": "TkAgg", "MPLCONFIGDIR": nowhere},
        "matplotlibrc": {"MATPLOTLIBRC": str(keras_home / "matplotlibrc")},
        "terminal": {"NO_COLOR": "1", "COLUMNS": "10", "LINES": "1", "TERM": "dumb"},
        "another storage": {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"},
        "a dead proxy": {
            name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTPS_PROXY")
        },
        "TF_CONFIG of one process": {"TF_CONFIG": '{"environment": "cloud"}'},
        "oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "1"},
        "no oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    }


OTHER_BITS: Environment = {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"}
"""Changes results, as whoever sets it wants; environment.json names it."""


def merged(apart: dict[str, Environment]) -> list[Environment]:
    """As few environments as hold all of them, each variable as it was."""
    together: list[Environment] = []
    for environment in apart.values():
        for each in together:
            if not each.keys() & environment.keys():
                each.update(environment)
                break
        else:
            together.append(dict(environment))
    return together
