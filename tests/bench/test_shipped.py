from pathlib import Path

from bench.shipped import distinct


def test_every_config_is_measured_once() -> None:
    names = [name for files in distinct() for name in files.split(", ")]
    assert sorted(names) == sorted(
        path.stem for path in (Path(__file__).parents[2] / "configs").glob("*.py")
    )
    assert "fashion_mnist, mnist" in distinct()  # they differ in their data alone
