"""The benchmark's opponent does what ours does, and what is counted is counted right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, assert_same, largest
from torch import nn

from benchmarks import published, study
from benchmarks.__main__ import FAMILIES, chosen_families
from benchmarks.flops import convolution, layer_macs, training_flops
from benchmarks.made import RECORDS, SEED, SampleSet, make_set, write_tensor_files
from benchmarks.opponent import window_of
from benchmarks.processes import Worker, run_together, started
from benchmarks.results import lines_of
from benchmarks.speed import step_flops
from benchmarks.targets import TARGETS
from benchmarks.workflow import Cost, Overhead
from siwcc.data.augment.interface import augment_module, variant_rng
from siwcc.io.shards import read_shard
from siwcc.nn.paper_networks import build_localiser
from siwcc.training.run import standardisation

pytestmark = pytest.mark.numeric

SHAPES = {
    "ecg": ("nimesha", 2, (500,), (20 * 4990 / 4999,), 20.0),
    "nuclei": ("lakshya", 3, (64, 64), (63.0, 63.0), 63.0),
}


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return make_set("ecg", tmp_path_factory.mktemp("ecg"), 3)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return make_set("nuclei", tmp_path_factory.mktemp("nuclei"), 12)


def both_networks(task: str) -> tuple[nn.Module, nn.Module]:
    """Ours and the opponent's in float64, with the same weights."""
    name, channels, shape, extent, output_scale = SHAPES[task]
    torch.manual_seed(3)
    ours = build_localiser(name, "full", "coord", channels, shape, extent, output_scale).double()
    plain = published.PlainNimesha() if task == "ecg" else published.PlainLakshya(image_size=64)
    plain = plain.double()
    with torch.no_grad():
        for target, source in zip(in_order(plain), ours.parameters(), strict=True):
            target.copy_(source.reshape(target.shape))
    return ours, plain


def in_order(plain: nn.Module) -> list[nn.Parameter]:
    """The opponent's weights from input to output."""
    first, last = list(plain.blocks.parameters()), list(plain.head.parameters())
    known = {id(parameter) for parameter in first + last}
    return first + [parameter for parameter in plain.parameters() if id(parameter) not in known] + last


# ------------------------------------------------------------------ the step


# Adam divides a gradient by its size plus 1e-8. That of a convolution's bias is 0 but for rounding, at most 1e-13: its
# step is at most 1e-3 * 1e-13 / 1e-8. The step of any other weight is 1e-3.
AFTER_ADAM = 1e-7


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_three_steps_of_the_opponent_are_ours_in_float64(task: str) -> None:
    ours, plain = both_networks(task)
    _, channels, shape, _, output_scale = SHAPES[task]
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.uniform(0, output_scale, (24, len(shape))))
    mean, deviation = (torch.from_numpy(values) for values in standardisation(targets.numpy()))
    optimiser = torch.optim.Adam(ours.parameters(), lr=1e-3)
    run = published.PlainRun(plain, targets)
    ours.train()
    plain.train()
    for start in range(0, 24, 8):
        signal = torch.from_numpy(rng.normal(size=(8, channels, *shape)))
        target = targets[start : start + 8]
        optimiser.zero_grad()
        answer = ours(signal)
        (((answer - mean) / deviation - (target - mean) / deviation) ** 2).mean().backward()
        optimiser.step()
        assert_same(run.step(ours.encoding(signal), target), answer, AFTER_ADAM)
    ours.eval()
    plain.eval()
    signal = torch.from_numpy(rng.normal(size=(4, channels, *shape)))
    assert_same(plain(ours.encoding(signal)), ours(signal), AFTER_ADAM)
    scale = largest(*ours.parameters())
    for theirs, own in zip(in_order(plain), ours.parameters(), strict=True):
        assert_same(theirs, own.reshape(theirs.shape), AFTER_ADAM, scale=scale)


def test_the_networks_have_the_papers_number_of_weights() -> None:
    # Convolutions c_in x c_out x kernel + c_out, batch normalisation 2 c_out; pool; linear.
    convolutions = sum(a * b * 3 + 3 * b for a, b in ((3, 16), (16, 32), (32, 64), (64, 128)))
    nimesha = convolutions + 128 * 31 + 129
    lakshya = sum(a * b * 9 + 3 * b for a, b in ((5, 16), (16, 32), (32, 64), (64, 128))) + 128 * 1025 + 258
    counted = [sum(p.numel() for p in net.parameters()) for net in (published.PlainNimesha(), published.PlainLakshya())]
    assert counted == [nimesha, lakshya]


# ---------------------------------------------------------------- the samples


def test_a_plain_variant_is_ours(windows: SampleSet, tmp_path: Path) -> None:
    path = windows.write_fold(windows.sample_ids[:4], 6, 1, tmp_path)
    inputs = augment_module("ecg").open_inputs([path], windows.path, augmented_only=True)
    shard = read_shard(windows.path, "samples")
    row_of = {str(sample_id): row for row, sample_id in enumerate(shard.arrays["sample_id"])}
    assert len(inputs.target) == 24
    for row in range(24):
        signal, event = window_of(shard, row_of[inputs.sample_id[row]])
        rng = variant_rng(SEED, str(inputs.sample_id[row]), int(inputs.variant[row]))
        made, event = published.augment(signal, event, rng)
        assert event / published.RATE_HZ == pytest.approx(inputs.target[row, 0], rel=1e-6)
        plain = published.decimate(made)
        assert_same(plain, inputs.batch(np.array([row]), "coord")[0], FLOAT32)
        # What the network sees: the same leads, and the coordinate to the bit.
        item, _ = published.EcgWindows([published.with_coordinate(made)], [torch.zeros(1)])[0]
        np.testing.assert_array_equal(item[:2].numpy(), plain)
        encoded = build_localiser(SHAPES["ecg"][0], "full", "coord", *SHAPES["ecg"][1:]).encoding(item[None, :2])
        np.testing.assert_array_equal(item[2].numpy(), encoded[0, 2].numpy())


def test_decimation_by_hand() -> None:
    # Around sample 0 stand five zeros and 1 ... 6, around 10: 6 ... 16, around 20: 16 ... 21 and five zeros.
    ramp = np.arange(1.0, 22.0)[np.newaxis]
    np.testing.assert_array_equal(published.decimate(ramp), [[1.0, 11.0, 16.0]])


def test_image_files_hold_what_ours_gives_the_network(cells: SampleSet, tmp_path: Path) -> None:
    folder = cells.write_two_folds(5, 2, tmp_path / "folds")
    write_tensor_files(folder, cells.path)
    paths = sorted((folder / "fold2").glob("*.pt"))
    targets = torch.from_numpy(np.load(folder / "fold2" / "targets.npy"))
    files = published.ImageFiles(paths, list(targets))
    assert (len(files), len(list((folder / "fold1").glob("*.pt")))) == (8, 2)
    inputs = augment_module("nuclei").open_inputs([folder / "fold2.h5"], cells.path, augmented_only=True)
    image, target = files[5]
    np.testing.assert_array_equal(image[:3].numpy(), inputs.batch(np.array([5]), "coord")[0].numpy())
    np.testing.assert_array_equal(target.numpy(), inputs.target[5])
    assert image[3, 7, 200] == 200
    assert image[4, 7, 200] == 7
    assert paths[0].stat().st_size == pytest.approx(5 * 256 * 256 * 4, rel=0.01)


def test_the_opponents_epoch_returns_r2_as_we_count_it(windows: SampleSet) -> None:
    torch.manual_seed(0)
    signals = [torch.randn(3, 5000) for _ in range(20)]
    targets = [torch.rand(1) * 20 for _ in range(20)]
    samples = published.EcgWindows(signals, targets)
    run = published.PlainRun(published.PlainNimesha(), torch.stack(targets))
    run.train_epoch(published.make_batches(samples, 8, True, 0))
    r2 = run.evaluate(published.make_batches(samples, 8, False, 0))
    run.network.eval()
    with torch.no_grad():
        answers = torch.cat([run.network(samples[row][0][None]) for row in range(20)]).numpy().astype(np.float64)
    truth = torch.stack(targets).numpy().astype(np.float64)
    expected = 1 - ((truth - answers) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    # Of predictions in float32, in batches and alone; R2 is about 1.
    assert r2 == pytest.approx(expected, abs=FLOAT32)


# ------------------------------------------------------------------ counting


def test_flops_of_a_step_by_hand() -> None:
    # Outputs x inputs x kernel; the first layer's input needs no gradient.
    ecg = [500 * 16 * 9, 250 * 32 * 48, 125 * 64 * 96, 62 * 128 * 192, 128]
    assert layer_macs(published.PlainNimesha(), torch.zeros(1, 3, 500)) == ecg
    assert training_flops([10, 5]) == 2 * (10 + 10 + 5 + 5 + 5)
    # As many digits as docs/performance.md has.
    assert step_flops("ecg") / 1e9 == pytest.approx(0.52, abs=0.005)
    assert step_flops("nuclei") / 1e9 == pytest.approx(49.5, abs=0.1)


def test_flops_of_the_peak_convolution() -> None:
    layer, signal, flops = convolution(2, 4, torch.channels_last)
    assert flops == 2 * sum(layer_macs(layer, signal)) == 2 * 2 * 128 * 4 * 4 * 128 * 9


def test_the_extrapolation_by_hand() -> None:
    size = study.paper_size()
    assert (size.variants, size.runs, size.epochs, size.passed) == (23_600, 20, 15, 20 * 15 * 23_600)
    # 23,600 variants of 1 ms on two cores, 7.08 million samples at 10,000 a second, and 5 s.
    assert study.study_s(size, 2, 1e-3, 10_000, 5.0) == pytest.approx(11.8 + 708 + 5)
    # 60 s for 20 runs, of which 100 variants took 0.1 s and 1,000 samples 0.9 s.
    overhead = Overhead(Cost(wall_s=40.0, cpu_s=60.0), runs=20, variants=100, passed=1000)
    assert study.overhead_cpu_s(overhead, 1e-3, 0.9e-3) == pytest.approx(59 / 20)


def test_verdicts() -> None:
    speed, cost = TARGETS["ecg"], TARGETS["overhead"]
    assert [speed.verdict(value) for value in (5.99, 6, 8.99, 9)] == ["not reached", "must", "must", "aim"]
    assert [cost.verdict(value) for value in (4.01, 4, 2.01, 2)] == ["not reached", "must", "must", "aim"]
    assert TARGETS["memory_growth"].verdict(1) == ""
    (line,) = lines_of({"ecg": [7.0, 5.0, 9.0]})
    assert (line.median, line.low, line.high, line.cells()[-1]) == (7.0, 5.0, 9.0, "must")


def test_families_bring_what_they_need() -> None:
    assert chosen_families("study") == ["ecg", "augment", "study"]
    assert chosen_families(None) == list(FAMILIES)
    with pytest.raises(SystemExit, match="'ecgs'"):
        chosen_families("ecgs")


# -------------------------------------------------------------------- a round


@pytest.mark.slow
def test_an_epoch_of_each_side_in_turn(windows: SampleSet, tmp_path: Path) -> None:
    folder = windows.write_two_folds(5, 4, tmp_path / "folds")
    arguments = {"task": "ecg", "folder": str(folder), "samples": str(windows.path)}
    sides = [Worker(role, arguments) for role in ("train_ours", "train_published")]
    with started(sides) as (ours, plain):
        for _ in range(2):
            (answer,) = run_together([ours])
            assert answer["seconds"] > 0
            assert answer["peak_rss_bytes"] > 1e7
            (answer,) = run_together([plain], {"workers": 0})
            assert answer["seconds"] > 0
    assert sorted(path.name for path in folder.iterdir()) == ["fold1.h5", "fold2.h5"]


@pytest.mark.slow
def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=re.escape(str(tmp_path / "none.h5"))),
        started([Worker("augment_windows", {"samples": str(tmp_path / "none.h5")})]),
    ):
        pass


def test_enough_records_for_the_largest_epoch() -> None:
    # 12 made-up records have 56 events; 50 windows and 8 x 6 are asked for.
    from benchmarks.growth import _BASE, FACTORS
    from benchmarks.speed import _ECG

    assert RECORDS == 12
    assert max(_ECG[False].samples, _BASE["ecg"][0] * max(FACTORS)) <= 56
    assert json.dumps(FACTORS) == "[1, 2, 4, 8]"
