"""Chips and HLO by hand; the compiler itself where jax and libtpu are installed."""

import importlib.metadata
import importlib.util
import json
from pathlib import Path

import pytest

from tests.helpers.command import CONFIG
from tests.helpers.programs import run_module
from tests.helpers.tiny import tiny_config
from tests.helpers.variants import changed
from trainer.config import Config
from trainer.errors import UserError
from trainer.tpu.chips import CHIPS, parse_topology, roofline
from trainer.tpu.compile_report import CompileReport
from trainer.tpu.compiler import check_installed
from trainer.tpu.hlo import Program, parse_arrays
from trainer.tpu.preflight import compile_reports, preflight, whole_run

needs_compiler = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jax", "libtpu")),
    reason="jax and libtpu are not installed: make extras installs them",
)


def test_topology_names() -> None:
    for name, chips in {"v5e:1x1": 1, "v5e:2x2": 4, "v5p:2x2x1": 4, "v6e:4x8": 32}.items():
        assert parse_topology(name).num_chips == chips


@pytest.mark.parametrize("name", ["v5e", "v5e:2x3", "v7:2x2", "v5p:2x2", "", "v5e:2x2x1"])
def test_a_wrong_topology_lists_what_would_do(name: str) -> None:
    with pytest.raises(UserError, match=r"would do: v5e:1x1, v5e:2x2, .*v5p:2x2x1, .*v6e:2x2"):
        parse_topology(name)


def test_roofline_by_hand() -> None:
    """v5e: 197e12 FLOP/s, 819e9 bytes/s of HBM, 200e9 bytes/s out of a chip."""
    limit = roofline(CHIPS["v5e"], 4, flops=394e9, hbm_bytes=819e6, all_reduce_bytes=400e6)
    assert limit.compute_seconds == pytest.approx(2e-3)
    assert limit.memory_seconds == pytest.approx(1e-3)
    # Each of four chips sends 2 * 3/4 of the 400 MB.
    assert limit.interconnect_seconds == pytest.approx(3e-3)
    assert limit.bound == "interconnect" and limit.seconds == limit.interconnect_seconds
    alone = roofline(CHIPS["v5e"], 1, flops=394e9, hbm_bytes=819e6, all_reduce_bytes=400e6)
    assert alone.interconnect_seconds == 0 and alone.bound == "compute"


@pytest.mark.parametrize(
    "shape, logical, padded, in_hbm",
    [
        # Innermost the 64 channels, then the 16 images: 64 -> 128, 16 stays.
        ("f32[16,28,28,64]{3,0,2,1:T(8,128)}", 16 * 784 * 64 * 4, 16 * 784 * 128 * 4, True),
        # Innermost the 64 images, then the one channel: 64 -> 128, 1 -> 2 by the tile's 2.
        ("bf16[64,28,28,1]{0,3,2,1:T(2,128)(2,1)S(1)}", 64 * 784 * 2, 128 * 2 * 784 * 2, False),
        ("pred[100,4]{1,0:T(8,128)(4,1)S(1)}", 400, 104 * 128, False),
        ("s32[]{:T(128)}", 4, 128 * 4, True),
        ("f32[6272]{0:T(1024)}", 6272 * 4, 7168 * 4, True),
        ("u8[3,5]", 15, 15, True),
    ],
)
def test_padding_by_hand(shape: str, logical: int, padded: int, in_hbm: bool) -> None:
    (array,) = parse_arrays(shape)
    assert (array.shape, array.logical_bytes, array.padded_bytes) == (shape, logical, padded)
    assert array.in_hbm == in_hbm


HLO = """HloModule m, entry_computation_layout={(f32[256]{0:T(256)})->f32[256]{0:T(256)}}

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %c = f32[]{:T(128)} add(%a, %b)
}

%small (p: f32[256]) -> f32[256] {
  %p = f32[256]{0:T(256)} parameter(0)
  ROOT %n = f32[256]{0:T(256)S(1)} negate(%p)
}

%large (q: f32[256]) -> f32[256] {
  %q = f32[256]{0:T(256)} parameter(0)
  %e = f32[256]{0:T(256)} exponential(%q)
  ROOT %f = f32[256]{0:T(256)S(1)} negate(%e)
}

ENTRY %main (x: f32[256], y: pred[]) -> f32[256] {
  %x = f32[256]{0:T(256)} parameter(0)
  %y = pred[]{:T(512)S(6)} parameter(1)
  %in = (f32[256]{0:T(256)S(1)}, f32[256]{0:T(256)}, u32[]{:S(2)}) copy-start(%x)
  %chip = f32[256]{0:T(256)S(1)} copy-done(%in)
  %part = ((f32[256]{0:T(256)}), f32[64]{0:T(64)S(1)}, s32[]{:S(2)}) slice-start(%x), slice={[0:64]}
  %got = f32[64]{0:T(64)S(1)} slice-done(%part)
  %c = f32[256]{0:T(256)S(1)} conditional(%y, %x, %x), true_computation=%small, \
false_computation=%large
  %g = f32[256]{0:T(256)S(1)} add(%c, %chip), metadata={op_name="net/add"}
  ROOT %r = f32[256]{0:T(256)} all-reduce(%g), replica_groups={{0,1}}, to_apply=%sum
}
"""


def test_traffic_by_hand() -> None:
    """1024 bytes to copy in, 256 of a slice, 3 x 1024 in the larger branch, 1024 of the result."""
    program = Program(HLO)
    traffic = program.traffic()
    assert traffic.hbm_bytes == 1024 + 256 + 3 * 1024 + 1024
    assert traffic.all_reduce_bytes == 1024
    assert "net/add" in [origin for _, origin in program.arrays()]


def test_chips_that_cannot_share_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(tiny_config(), {"train.group_size": 0})
    monkeypatch.setattr("trainer.tpu.preflight.check_installed", lambda: "")
    with pytest.raises(UserError, match=r"4 replicas cannot share 1 .*train.group_size=2 would do"):
        preflight(config, "v5e:2x2", None)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", no_version)
    with pytest.raises(UserError, match=r"needs jax, .* not installed: pip install jax jaxlib l"):
        check_installed()


@pytest.fixture(scope="module")
def reports() -> list[CompileReport]:
    return compile_reports(_small_config(), parse_topology("v5e:2x2"))


def _small_config() -> Config:
    """Four groups of four 8x8 images; no dropout, whose random numbers are no products."""
    filters = {"model.generator_filters": (32, 32, 32), "model.discriminator_filters": (32, 64)}
    batch = {"train.global_batch_size": 16, "train.group_size": 4}
    return changed(tiny_config(), {**filters, **batch, "model.dropout_rate": 0.0})


def _taps(size: int, kernel: int, stride: int) -> int:
    """Products of a `same` convolution, per pair of channels, that do not fall on the border."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    hits = [0 <= stride * o - before + t < size for o in range(outputs) for t in range(kernel)]
    return sum(hits) ** 2


@needs_compiler
def test_flops_by_hand(reports: list[CompileReport]) -> None:
    """All convolutions and matrix products; the rest of the step may add 15%."""
    # A transposed convolution has the taps of the convolution that it is the gradient of.
    generator = [
        8 * 2 * 2 * 32,
        _taps(4, 4, 2) * 32 * 32,
        _taps(8, 4, 2) * 32 * 32,
        _taps(8, 5, 1) * 32,
    ]
    discriminator = [_taps(8, 4, 2) * 32, _taps(4, 4, 2) * 32 * 64, 2 * 2 * 64]
    forward_g, forward_d = sum(generator), sum(discriminator)
    # A gradient costs a forward pass for the weights and one for the inputs, which the first
    # layer's are not needed. D's update: G forward, D on real and on generated images. G's
    # update: both forward, D's gradient of the images, G's gradient of the weights.
    of_d = forward_g + 2 * (3 * forward_d - discriminator[0])
    of_g = 3 * forward_g - generator[0] + 2 * forward_d
    products = 2 * 4 * (of_d + of_g)  # a multiplication and an addition, four images a chip
    assert products <= reports[0].flops <= 1.15 * products


@needs_compiler
def test_all_reduce_is_of_gradients_statistics_and_metrics(reports: list[CompileReport]) -> None:
    """float32: weights by hand, two statistics of 32 channels twice, six metrics and the stop."""
    generator = 8 * 128 + 128 + 2 * (16 * 32 * 32 + 2 * 32) + 25 * 32 + 1
    discriminator = 16 * 32 + 32 + 16 * 32 * 64 + 64 + 2 * 2 * 64 + 1
    numbers = generator + discriminator + 2 * (32 + 32) + 7
    alone, together = reports
    assert (alone.all_reduce_bytes, together.all_reduce_bytes) == (0, 4 * numbers)
    assert (alone.num_chips, together.num_chips) == (1, 4)
    assert (together.images_per_chip, together.groups_per_chip) == (4, 1)
    assert 0 < together.peak_hbm_bytes < CHIPS["v5e"].hbm_bytes


@needs_compiler
def test_weights_pass_through_hbm(reports: list[CompileReport]) -> None:
    """At the least, weights and RMSprop's means of squares are read and written."""
    weights = 4 * (8 * 128 + 2 * 16 * 32 * 32 + 16 * 32 * 64)
    assert reports[0].hbm_bytes_moved > 4 * weights


@needs_compiler
def test_a_config_that_does_not_fit() -> None:
    """D's first features of one step alone are 2 x 4096 x 128 x 128 x 512 float32, 256 GiB."""
    large = {"model.resolution": 256, "model.discriminator_filters": (512, 8)}
    batch = {"train.global_batch_size": 4096, "train.group_size": 0}
    config = changed(_small_config(), large | batch)
    with pytest.raises(
        UserError, match=r"does not fit .* \(\S+ needed, 15.75G there\): give fewer"
    ):
        compile_reports(config, parse_topology("v5e:1x1"))


@needs_compiler
def test_command_line(tmp_path: Path) -> None:
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG.format(records="not-there"))
    output = tmp_path / "report.json"
    flags = ["--mode=preflight", f"--config={config}", "--config.model.dropout_rate=0"]
    done = run_module("trainer.main", *flags, "--topology=v5e:1x1", f"--output={output}")
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert found["topology"] == "v5e:1x1" and len(found["verdicts"]) == 1
    assert found["verdicts"][0]["images_per_second_at_most"] > 0
    assert not found["run"]["images_known"] and found["run"]["images"] == 1_000_000
    assert "limits" in done.stdout and str(output) in done.stdout


@needs_compiler
def test_chip_hours_by_hand(reports: list[CompileReport]) -> None:
    config = _small_config()
    config.train.steps = 225
    run = whole_run(config, parse_topology("v5e:2x2"), reports[1])
    # 225 steps of 16 images; four chips for 3600 images at that speed.
    assert run.images == 3600 and run.images_known
    assert run.chip_hours_at_least == pytest.approx(4 / reports[1].images_per_second_at_most)
