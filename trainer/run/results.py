"""The pictures of a finished run."""

import os

from trainer.run.metrics_file import read_metrics
from trainer.run.run_dir import LOSSES, TIMELAPSE, grid_paths
from trainer.sampling.pictures import loss_plot, timelapse
from trainer.storage.files import write_bytes


def write_final_pictures(run_dir: str) -> list[str]:
    """Draws the loss plot and the timelapse from what the run wrote.

    Returns:
        The paths of the pictures.
    """
    grids = grid_paths(run_dir)
    paths = [os.path.join(run_dir, LOSSES)]
    write_bytes(paths[0], loss_plot(read_metrics(run_dir)))
    if grids:
        paths.append(os.path.join(run_dir, TIMELAPSE))
        write_bytes(paths[1], timelapse(grids))
    return paths
