"""What is to be run, whichever cloud runs it."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from types import MappingProxyType

from launch.catalog import Accelerator
from launch.errors import LaunchError

# What Kubernetes, Vertex AI and the TPU API all take as a name and as a label.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")


@dataclasses.dataclass(frozen=True)
class JobSpec:
    """One training job.

    Attributes:
        name: lower-case letters, digits and hyphens.
        config: a config file, as the trainer's `--config` takes it.
        run_dir: the run directory, which every worker must see; on clouds `gs://...`.
        accelerator: what each worker has.
        image: container image that holds the trainer; empty on this machine.
        workers: processes of a group that trains together, each on an accelerator of its own.
        spot: whether the machines may be taken away for a lower price.
        max_hours: after which the job is ended, whatever it does.
        trainer_arguments: given to the trainer as they are.
        labels: for bills and searches.
    """

    name: str
    config: str
    run_dir: str
    accelerator: Accelerator
    image: str = ""
    workers: int = 1
    spot: bool = False
    max_hours: float = 24.0
    trainer_arguments: tuple[str, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Raises LaunchError for what no backend could run."""
        if not _NAME.fullmatch(self.name):
            raise LaunchError(
                f"--name={self.name}: take a letter, then lower-case letters, digits and hyphens, "
                "40 at most."
            )
        if not self.config or not self.run_dir:
            missing = "--config" if not self.config else "--run_dir"
            raise LaunchError(f"{missing} is missing: give the trainer's own, as for a local run.")
        if self.workers < 1:
            raise LaunchError(f"--workers={self.workers}: there must be at least 1.")
        if self.workers > 1 and self.accelerator.kind == "tpu":
            raise LaunchError(
                f"--workers={self.workers} with --accelerator={self.accelerator.name}: a TPU slice "
                "is one worker, however many chips it has; leave --workers out and take a larger "
                "slice."
            )
        if not (math.isfinite(self.max_hours) and self.max_hours > 0):
            raise LaunchError(f"--max_hours={self.max_hours}: give a number above 0.")
        if any(argument.startswith("--run_dir") for argument in self.trainer_arguments):
            raise LaunchError(
                "--run_dir stands after -- too: give it once, before, so that the job and its "
                "trainer mean the same folder."
            )
        for key, value in self.labels.items():
            if not _NAME.fullmatch(key) or not _LABEL.fullmatch(value):
                raise LaunchError(
                    f"--label={key}={value}: keys and values take lower-case letters, digits and "
                    "hyphens."
                )

    @property
    def chips(self) -> int:
        """TPU chips or GPUs of all workers."""
        return self.workers * self.accelerator.chips

    @property
    def strategy(self) -> str:
        """The trainer's `--strategy`."""
        if self.accelerator.kind == "tpu":
            return "tpu"
        if self.workers > 1:
            return "multiworker"
        return "mirrored" if self.accelerator.kind == "gpu" else "cpu"

    def command(self) -> list[str]:
        """The trainer's command line, the same on every worker."""
        modes = [a for a in self.trainer_arguments if a.startswith("--mode=")]
        # The trainer refuses flags that its mode does not use.
        strategy = [] if modes and modes[-1] != "--mode=train" else [f"--strategy={self.strategy}"]
        return [
            *("python", "-m", "trainer.main", f"--config={self.config}"),
            *(f"--run_dir={self.run_dir}", *strategy),
            *self.trainer_arguments,
        ]


def check_for_cloud(job: JobSpec) -> None:
    """Checks what every cloud needs and this machine does not.

    Raises:
        LaunchError: the run directory or the config is one of this machine, or the
            image is missing.
    """
    if not job.run_dir.startswith("gs://"):
        raise LaunchError(
            f"--run_dir={job.run_dir} is on this machine, which the job cannot see; give one on "
            "gs://."
        )
    if os.path.isabs(job.config):
        raise LaunchError(
            f"--config={job.config} is on this machine; give a path within the image, such as "
            "configs/mnist.py."
        )
    if not job.image:
        raise LaunchError(
            "--image is missing: build and push one as docs/deploying.md says, and give its name."
        )
