"""Where a run's events go."""

from pathlib import Path

import pytest

from trainer.run.tensorboard import TensorBoardWriter


@pytest.mark.parametrize("on_vertex", [False, True])
def test_events_go_where_vertex_ai_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_vertex: bool
) -> None:
    logs = tmp_path / "logs"
    monkeypatch.setenv("AIP_TENSORBOARD_LOG_DIR", str(logs))
    if on_vertex:
        monkeypatch.setenv("AIP_TENSORBOARD_RESOURCE_NAME", "projects/1/locations/r/tensorboards/2")
    writer = TensorBoardWriter(str(tmp_path), resumed_step=0)
    writer.scalars(1, {"loss/generator": 1.0})
    writer.writer.close()
    found = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    assert found == {logs if on_vertex else tmp_path / "tensorboard"}
