"""The names that the step's metrics have in TensorBoard and metrics.jsonl."""

GENERATOR_LOSS = "loss/generator"
DISCRIMINATOR_LOSS = "loss/discriminator"
REAL_LOSS = "loss/discriminator_real"
FAKE_LOSS = "loss/discriminator_fake"
PENALTY = "loss/penalty"
"""There only where the config has a penalty."""
REAL_PROBABILITY = "discriminator/real_probability"
FAKE_PROBABILITY = "discriminator/fake_probability"


def metric_names(*, penalized: bool) -> list[str]:
    """Of all metrics of a step."""
    discriminator = [DISCRIMINATOR_LOSS, REAL_LOSS, FAKE_LOSS, REAL_PROBABILITY, FAKE_PROBABILITY]
    return [GENERATOR_LOSS, *discriminator, *([PENALTY] if penalized else [])]
