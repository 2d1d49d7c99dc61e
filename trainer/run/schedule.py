"""When a run does what: steps, epochs, and what is due after a step."""

import math

from trainer.config import Config


class Schedule:
    """The steps of one run, counted in generator updates from 1."""

    def __init__(self, config: Config, num_images: int) -> None:
        self.config = config
        self.images_per_step, self.num_images = config.images_per_step, num_images
        self.total_steps = config.train.steps or math.ceil(
            config.train.epochs * num_images / config.images_per_step
        )

    def epoch_at(self, step: int) -> float:
        """Passes over the images that the first `step` steps make."""
        return step * self.images_per_step / self.num_images

    def end_of_call(self, step: int) -> int:
        """The step after `step` at which Python is needed again."""
        every = self.config.train
        epoch = int(self.epoch_at(step)) + 1
        periods = (every.log_every_steps, every.checkpoint_every_steps)
        return min(
            step + every.steps_per_call,
            math.ceil(epoch * self.num_images / self.images_per_step),
            self.total_steps,
            *((step // period + 1) * period for period in periods),
        )

    def is_due(self, step: int, every_steps: int) -> bool:
        """Whether `step` is one of the `every_steps`, or the last."""
        return step % every_steps == 0 or step == self.total_steps

    def epoch_due(self, step: int, every_epochs: int) -> int | None:
        """The epoch, from 1, that ends here or is the run's last, if it is one of the `every`.

        With `every_epochs` of 0, none is due.
        """
        before, after = (int(self.epoch_at(s)) for s in (step - 1, step))
        is_last = step == self.total_steps
        if not every_epochs or not (is_last or after > before):
            return None
        epoch = after if after > before else after + 1
        return epoch if is_last or epoch % every_epochs == 0 else None
