"""What in a run's numbers should worry its owner."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

# Shares of what real images score, and of the best so far; between them lie the ordinary ups
# and downs of a run.
_COLLAPSED_SHARE_OF_FLOOR = 0.05
_COLLAPSED_SHARE_OF_BEST = 0.5
_CLASS_KL_JUMP_NATS = 0.25
_MANY_DUPLICATES = 0.5
_MANY_MEMORISED = 0.1
_CERTAIN = 0.98
_BLIND = 1e-5

AlarmKind = Literal["collapse", "memorisation", "dead game", "dead discriminator"]


@dataclasses.dataclass(frozen=True)
class Alarm:
    """Something to worry about; its text, `kind: what`, is what people and metrics.jsonl get."""

    kind: AlarmKind
    what: str
    """The numbers that say so, and the mend where there is one."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Alarms:
    """Lets each kind of alarm through once, until its cause has gone in between."""

    def __init__(self) -> None:
        self.active: dict[str, set[AlarmKind]] = {}

    def new(self, source: str, alarms: list[Alarm]) -> list[Alarm]:
        """Those of a source's alarms whose kind it did not give the last time."""
        before = self.active.get(source, set())
        self.active[source] = {alarm.kind for alarm in alarms}
        return [alarm for alarm in alarms if alarm.kind not in before]


def quality_alarms(
    values: dict[str, float], floor: dict[str, float], earlier: Sequence[dict[str, float]]
) -> list[Alarm]:
    """Alarms about collapse and memorisation.

    All measures are under their short names, such as `recall`: the newest, those of real images,
    and those of earlier evaluations.
    """

    def collapse(what: str) -> None:
        found.append(Alarm("collapse", what))

    found: list[Alarm] = []
    for name in ("coverage", "recall"):
        best = max([line[name] for line in earlier], default=0.0)
        if values[name] < _COLLAPSED_SHARE_OF_FLOOR * floor[name]:
            collapse(f"{name} is {values[name]:.3f}, real images score {floor[name]:.3f}")
        elif values[name] < _COLLAPSED_SHARE_OF_BEST * best:
            collapse(f"{name} fell to {values[name]:.3f} from {best:.3f}")
    lowest = min([line["class_kl"] for line in earlier if "class_kl" in line], default=math.inf)
    if values.get("class_kl", 0.0) > lowest + _CLASS_KL_JUMP_NATS:
        collapse(
            f"class_kl rose to {values['class_kl']:.3f} from {lowest:.3f} nats: some "
            "classes are drawn much less than others"
        )
    if values["near_duplicates"] > _MANY_DUPLICATES:
        collapse(
            f"{values['near_duplicates']:.0%} of the samples have another that looks the "
            f"same; of real images {floor['near_duplicates']:.0%} have"
        )
    if values["memorised"] > _MANY_MEMORISED:
        memorisation = (
            f"{values['memorised']:.0%} of the samples are as near to a training "
            "image as only 1% of the training images are to each other"
        )
        found.append(Alarm("memorisation", memorisation))
    return found


def discriminator_alarms(metrics: dict[str, float]) -> list[Alarm]:
    """Alarms about a D that has won or does not react, by means under their TensorBoard names."""
    if "discriminator/real_probability" not in metrics:
        return []
    real, fake = (metrics[f"discriminator/{kind}_probability"] for kind in ("real", "fake"))
    if real - fake > _CERTAIN:
        what = (
            f"the discriminator is certain (real {real:.3f}, fake {fake:.3f}), so the "
            "generator hardly learns; lower D's learning rate or add a penalty"
        )
        return [Alarm("dead game", what)]
    if abs(real - fake) < _BLIND:
        what = (
            f"it says {real:.5f} to real and generated images alike; lower "
            "its learning rate, or see whether its activations have died"
        )
        return [Alarm("dead discriminator", what)]
    return []
