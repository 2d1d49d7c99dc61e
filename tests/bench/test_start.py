import pytest

from bench.start import parts_of

LINE = {"step": 1, "speed/imports_seconds": 8.0, "speed/first_step_seconds": 5.0}
LOG = """profiler.cc:113] Compiled __inference_d_1 1 times, compile time: 1500000 us, ...
profiler.cc:113] Compiled __inference_g_2 1 times, compile time: 2000000 us, ..."""


@pytest.mark.parametrize(
    "log, of_first_step",
    [(LOG, {"tracing": 1.5, "compiling": 3.5}), ("", {"tracing and compiling": 5.0})],
)
def test_the_first_step_is_split_as_logged(log: str, of_first_step: dict[str, float]) -> None:
    assert parts_of(LINE, log) == {"first step after": 13.0, "imports": 8.0, **of_first_step}
