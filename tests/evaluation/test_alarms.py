from trainer.evaluation.alarms import Alarm, Alarms, discriminator_alarms, quality_alarms

GOOD = {
    "coverage": 0.95,
    "recall": 0.9,
    "class_kl": 0.002,
    "near_duplicates": 0.01,
    "memorised": 0.01,
}


def kinds(**changes: float) -> set[str]:
    return {alarm.kind for alarm in quality_alarms(GOOD | changes, GOOD, [GOOD])}


def test_good_values_are_silent() -> None:
    assert kinds() == set()
    assert quality_alarms(GOOD, GOOD, []) == []


def test_each_sign_of_collapse_and_memorisation() -> None:
    assert kinds(coverage=0.4) == {"collapse"}
    assert kinds(recall=0.01) == {"collapse"}
    assert kinds(class_kl=0.3) == {"collapse"}
    assert kinds(near_duplicates=0.6) == {"collapse"}
    assert kinds(memorised=0.2) == {"memorisation"}


def test_a_collapse_from_the_start_needs_no_history() -> None:
    (alarm,) = quality_alarms(GOOD | {"coverage": 0.01}, GOOD, [])
    assert str(alarm) == "collapse: coverage is 0.010, real images score 0.950"


def test_without_classes() -> None:
    values = {name: value for name, value in GOOD.items() if name != "class_kl"}
    assert quality_alarms(values, values, [values]) == []


def test_discriminators() -> None:
    def found(real: float, fake: float) -> list[str]:
        values = {"discriminator/real_probability": real, "discriminator/fake_probability": fake}
        return [alarm.kind for alarm in discriminator_alarms(values)]

    assert found(0.46, 0.45) == []
    assert found(0.999, 0.001) == ["dead game"]
    assert found(0.5, 0.5) == ["dead discriminator"]
    assert discriminator_alarms({"speed/first_step_seconds": 3.0}) == []


def test_an_alarm_is_told_once_until_it_has_been_silent() -> None:
    alarms = Alarms()
    first, again = Alarm("dead game", "at 0.99"), Alarm("dead game", "at 0.995")
    collapse = Alarm("collapse", "coverage fell")
    assert alarms.new("losses", [first]) == [first]
    assert alarms.new("losses", [again]) == []
    assert alarms.new("quality", [collapse]) == [collapse]
    assert alarms.new("losses", []) == []
    assert alarms.new("losses", [again]) == [again]
