"""What a person sees while training: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping

from tqdm import tqdm

from trainer.cli.terminal import print_if_read

_SHOWN = {
    "loss/generator": ("G", "{:.3f}"),
    "loss/discriminator": ("D", "{:.3f}"),
    "speed/images_per_second": ("images/s", "{:.0f}"),
    "speed/first_step_seconds": ("ready after", "{:.1f} s"),
}

# Late enough to know: the first steps may only be handed to the device.
_TELLS_TIME_AFTER_SECONDS = 5.0


class Progress:
    """Progress of one run, from the step it starts or goes on at."""

    def __init__(
        self,
        total_steps: int,
        start: int,
        *,
        visible: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Shows an empty bar where there is a terminal; not `visible`, on workers, is silent."""
        self.total_steps = total_steps
        self.visible = visible
        self.clock = clock
        self.bar = tqdm(
            total=total_steps,
            initial=start,
            unit="step",
            dynamic_ncols=True,
            disable=not (visible and sys.stderr.isatty()),
        )
        self.step = self.timed_from = start
        self.started: float | None = None
        self.told_time_left = False

    def steps_done(self, step: int) -> None:
        """Counts up to `step`; the clock starts after the first call, which compiles."""
        self.bar.update(step - self.step)
        self.step = step
        if self.started is None:
            self.started, self.timed_from = self.clock(), step
            self.bar.unpause()
        enough = self.clock() - self.started >= _TELLS_TIME_AFTER_SECONDS
        if enough and not self.told_time_left and (left := self._time_left(step)):
            self.told_time_left = True
            self.message(f"about {left} to the end, step {self.total_steps}")

    def report(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Shows what `values` has of losses and speed, and the time left."""
        shown = {"epoch": f"{epoch:.2f}"} | {
            label: form.format(values[name])
            for name, (label, form) in _SHOWN.items()
            if name in values
        }
        if not self.bar.disable:
            self.bar.set_postfix(shown, refresh=False)
            return
        if left := self._time_left(step):
            shown["left"] = left
        words = "  ".join(f"{name} {value}" for name, value in shown.items())
        self.message(f"step {step}/{self.total_steps}  {words}")

    def _time_left(self, step: int) -> str:
        """Such as `04:10`; empty before a step has been timed."""
        if self.started is None or step <= self.timed_from:
            return ""
        seconds_a_step = (self.clock() - self.started) / (step - self.timed_from)
        return tqdm.format_interval(seconds_a_step * (self.total_steps - step))

    def message(self, text: str) -> None:
        """Prints a line without breaking the bar."""
        if not self.visible:
            return
        with tqdm.external_write_mode(file=sys.stdout):
            print_if_read(text, sys.stdout)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self.bar.close()
