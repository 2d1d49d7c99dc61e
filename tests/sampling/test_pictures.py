import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from trainer.sampling import pictures
from trainer.storage.png import png


def test_a_large_grid_is_no_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grid.png"
    path.write_bytes(png(np.zeros((20, 40, 3), np.uint8)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    for most, size in ((4096, (40, 20)), (10, (10, 5))):
        monkeypatch.setattr(pictures, "_GIF_PIXELS_AT_MOST", most)
        moving = pictures.timelapse([str(path)])
        assert moving is not None and GifImageFile(io.BytesIO(moving)).size == size
