from pathlib import Path

from tests.helpers.programs import run_python


def test_nothing_that_is_told_to_matplotlib_decides(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe\x00savefig.dpi: 10")
    code = "from trainer.sampling.figure import Figure; print(Figure().dpi)"
    odd = {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": "matplotlibrc"}
    done = run_python("-c", code, cwd=tmp_path, **odd)
    assert done.stdout == "100.0\n", done.stderr
    plain = "from matplotlib.figure import Figure"
    assert "UnicodeDecodeError" in run_python("-c", plain, cwd=tmp_path).stderr
