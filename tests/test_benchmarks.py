"""The reference implementation of the benchmark does what ours does, and the counts are right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, assert_same, largest
from torch import nn

from benchmarks import gpu, reference, study
from benchmarks.__main__ import FAMILIES, chosen_families
from benchmarks.data import REPOSITORY, SampleSet, make_set, write_tensor_files
from benchmarks.measurements import forward_flops, step_flops
from benchmarks.roofline import Roofline, Work, count_launches, forward_work, published, step_memory, step_work
from benchmarks.table import TARGETS, lines_of
from benchmarks.workers import Worker, run_together, started
from siwcc.data.augment.interface import augment_module
from siwcc.io.files import read_csv
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
    """Ours and the reference implementation's in float64, with the same weights."""
    name, channels, shape, extent, output_scale = SHAPES[task]
    torch.manual_seed(3)
    ours = build_localiser(name, "full", "coord", channels, shape, extent, output_scale).double()
    plain = reference.PlainNimesha() if task == "ecg" else reference.PlainLakshya(image_size=64)
    plain = plain.double()
    with torch.no_grad():
        for target, source in zip(in_order(plain), ours.parameters(), strict=True):
            target.copy_(source.reshape(target.shape))
    return ours, plain


def in_order(plain: nn.Module) -> list[nn.Parameter]:
    """The weights of the reference implementation from input to output."""
    first, last = list(plain.blocks.parameters()), list(plain.head.parameters())
    known = {id(parameter) for parameter in first + last}
    return first + [parameter for parameter in plain.parameters() if id(parameter) not in known] + last


# ------------------------------------------------------------------ the step


# Adam divides a gradient by its size plus 1e-8. That of a convolution's bias is 0 but for rounding, at most 1e-13: its
# step is at most 1e-3 * 1e-13 / 1e-8. The step of any other weight is 1e-3.
AFTER_ADAM = 1e-7


@pytest.mark.parametrize("task", ["ecg", "nuclei"])
def test_three_steps_of_the_reference_implementation_are_ours_in_float64(task: str) -> None:
    ours, plain = both_networks(task)
    _, channels, shape, _, output_scale = SHAPES[task]
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.uniform(0, output_scale, (24, len(shape))))
    mean, deviation = (torch.from_numpy(values) for values in standardisation(targets.numpy()))
    optimiser = torch.optim.Adam(ours.parameters(), lr=1e-3)
    run = reference.PlainRun(plain, targets)
    ours.train()
    plain.train()
    for start in range(0, 24, 8):
        signal = torch.from_numpy(rng.normal(size=(8, channels, *shape)))
        target = targets[start : start + 8]
        optimiser.zero_grad()
        prediction = ours(signal)
        (((prediction - mean) / deviation - (target - mean) / deviation) ** 2).mean().backward()
        optimiser.step()
        assert_same(run.step(ours.encoding(signal), target), prediction, AFTER_ADAM)
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
    counted = [sum(p.numel() for p in net.parameters()) for net in (reference.PlainNimesha(), reference.PlainLakshya())]
    assert counted == [nimesha, lakshya]


# ---------------------------------------------------------------- the samples


def test_an_augmented_copy_is_ours(windows: SampleSet, tmp_path: Path) -> None:
    path = windows.write_fold(windows.sample_ids[:4], 6, 1, tmp_path)
    inputs = augment_module("signal").open_inputs([path], windows.path, augmented_only=True)
    plain = reference.windows_of_fold(windows.path, path)
    assert len(inputs.target) == len(plain) == 24
    encoding = build_localiser(SHAPES["ecg"][0], "full", "coord", *SHAPES["ecg"][1:]).encoding
    for row in range(24):
        item, target = plain[row]
        assert target.item() == pytest.approx(inputs.target[row, 0], rel=1e-6)
        assert_same(item[:2], inputs.batch(np.array([row]), "coord")[0], FLOAT32)
        # The coordinate to the bit.
        np.testing.assert_array_equal(item[2].numpy(), encoding(item[None, :2])[0, 2].numpy())


def test_decimation_by_hand() -> None:
    # Around sample 0 are five zeros and 1 ... 6, around 10: 6 ... 16, around 20: 16 ... 21 and five zeros.
    ramp = np.arange(1.0, 22.0)[np.newaxis]
    np.testing.assert_array_equal(reference.decimate(ramp), [[1.0, 11.0, 16.0]])


def test_image_files_hold_what_ours_gives_the_network(cells: SampleSet, tmp_path: Path) -> None:
    folder = cells.write_two_folds(5, 2, tmp_path / "folds")
    write_tensor_files(folder, cells.path)
    files = reference.ImageFiles(folder / "fold2")
    assert (len(files), len(list((folder / "fold1").glob("*.pt")))) == (8, 2)
    inputs = augment_module("image").open_inputs([folder / "fold2.h5"], cells.path, augmented_only=True)
    image, target = files[5]
    np.testing.assert_array_equal(image[:3].numpy(), inputs.batch(np.array([5]), "coord")[0].numpy())
    np.testing.assert_array_equal(target.numpy(), inputs.target[5])
    assert image[3, 7, 200] == 200
    assert image[4, 7, 200] == 7
    assert files.paths[0].stat().st_size == pytest.approx(5 * 256 * 256 * 4, rel=0.01)


def test_an_epoch_returns_r2_as_we_count_it(windows: SampleSet) -> None:
    torch.manual_seed(0)
    signals = [torch.randn(3, 5000) for _ in range(20)]
    targets = [torch.rand(1) * 20 for _ in range(20)]
    samples = reference.EcgWindows(signals, targets)
    run = reference.PlainRun(reference.PlainNimesha(), torch.stack(targets))
    run.train_epoch(reference.make_batches(samples, batch_size=8, shuffle=True, workers=0))
    r2 = run.evaluate(reference.make_batches(samples, batch_size=8, shuffle=False, workers=0))
    run.network.eval()
    with torch.no_grad():
        predictions = torch.cat([run.network(samples[row][0][None]) for row in range(20)]).numpy().astype(np.float64)
    truth = torch.stack(targets).numpy().astype(np.float64)
    expected = 1 - ((truth - predictions) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    # Of predictions in float32, in batches and alone; R2 is about 1.
    assert r2 == pytest.approx(expected, abs=FLOAT32)


# ------------------------------------------------------------------ counting


def test_flops_of_a_step_by_hand() -> None:
    # Outputs x inputs x kernel; two operations each. Three passes, but no gradient of the first layer's inputs.
    ecg = [500 * 16 * 9, 250 * 32 * 48, 125 * 64 * 96, 62 * 128 * 192, 128]
    image = [256**2 * 16 * 45, 128**2 * 32 * 144, 64**2 * 64 * 288, 32**2 * 128 * 576, 128 * 32**2, 256]
    for task, macs in (("ecg", ecg), ("nuclei", image)):
        assert step_flops(task) == 32 * 2 * (3 * sum(macs) - macs[0])
        assert forward_flops(task) == 32 * 2 * sum(macs)


def test_bytes_of_a_step_by_hand() -> None:
    # Values of the input; outputs of convolutions and poolings. Of images the last is a convolution over all places.
    ecg = 3 * 500, 500 * 16 + 250 * 32 + 125 * 64 + 62 * 128 + 250 * 16 + 125 * 32 + 62 * 64 + 31 * 128
    image = (
        5 * 256**2,
        (256**2 * 16 + 128**2 * 32 + 64**2 * 64 + 32**2 * 128) + 128**2 * 16 + 64**2 * 32 + 32**2 * 64 + 128,
    )
    # As counted above.
    weights = {"ecg": 37_217, "nuclei": 229_666}
    for task, (given, made) in (("ecg", ecg), ("nuclei", image)):
        assert step_work(task).bytes == 4 * 32 * (2 * given + 5 * made)
        assert forward_work(task).bytes == 4 * 32 * (given + 2 * made)
        assert step_memory(task) == 4 * (32 * (given + made) + 4 * weights[task])


def test_launches_are_operations_that_compute() -> None:
    values = torch.ones(2, 3)
    assert count_launches(lambda: torch.relu(values).t()[0] + torch.empty(2)) == 2
    # Four blocks of four layers with a count of batches each, the weights, their sum, linear, sigmoid, seconds.
    assert forward_work("ecg").launches == 4 * 5 + 5
    # At least as many again for the gradients, and Adam.
    assert step_work("ecg").launches > 2 * forward_work("ecg").launches


def test_the_roofline_by_hand() -> None:
    # 1 TFLOP/s and 100 GB/s; 5 us a launch.
    device = Roofline(1e12, 1e11)
    bounds = [device.bound(Work(*of)) for of in ((2e9, 1e8, 100), (2e9, 3e8, 100), (2e9, 3e8, 1000))]
    assert [bound.name for bound in bounds] == ["compute", "memory", "launches"]
    assert [bound.seconds for bound in bounds] == pytest.approx([2e-3, 3e-3, 5e-3])
    known = {"NVIDIA H200": 4.8e12, "NVIDIA A100-SXM4-80GB": 2.039e12, "NVIDIA A100 80GB PCIe": 1.935e12}
    known |= {"NVIDIA H100 80GB HBM3": 3.35e12, "NVIDIA L4": 3e11, "Tesla T4": 3.2e11}
    assert {name: published(name).bytes_per_s for name in known} == known
    assert published("NVIDIA L40S") is published("NVIDIA RTX T400") is None


def test_an_epoch_by_hand() -> None:
    # 50 samples with 64 copies: 80 training steps and 20 test batches, on a device that only computes.
    rows, flops, least = gpu._epoch("ecg", 50, 64, Roofline(1e6, 1e30))
    assert (rows, flops) == (3200, 80 * step_flops("ecg") + 20 * forward_flops("ecg"))
    assert least == (pytest.approx(flops / 1e6), "compute")


def test_without_a_cuda_device_one_line_is_printed(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    output, line = capsys.readouterr()
    assert (output, line.count("\n")) == ("", 1)
    assert "--device cpu --quick" in line


def test_the_extrapolation_by_hand() -> None:
    size = study.paper_size()
    assert (*size, size.passed) == (23_600, 20, 15, 20 * 15 * 23_600)
    # 23,600 copies of 1 ms on two cores, 7.08 million samples at 10,000 per second, and 5 s.
    assert study.study_s(size, 2, 1e-3, 10_000, 5.0) == pytest.approx(11.8 + 708 + 5)
    # 60 s for 20 runs, of which 100 copies took 0.1 s and 2,000 samples 1.8 s.
    assert study.overhead_cpu_s(60.0, study.StudySize(100, 20, 1), 1e-3, 0.9e-3) == pytest.approx(58.1 / 20)


def test_verdicts() -> None:
    speed, cost = TARGETS["ecg"], TARGETS["overhead"]
    assert [speed.verdict(value) for value in (4.79, 4.8, 5.99, 6)] == ["not reached", "must", "must", "aim"]
    assert [cost.verdict(value) for value in (4.01, 4, 2.01, 2)] == ["not reached", "must", "must", "aim"]
    assert TARGETS["memory_growth"].verdict(1) == ""
    (line,) = lines_of({"ecg": [5.0, 4.9, 9.0]})
    assert (line.median, line.low, line.high, line.cells()[-1]) == (5.0, 4.9, 9.0, "must")


def test_families_bring_what_they_need() -> None:
    assert chosen_families("study") == ["ecg", "augment", "study"]
    assert chosen_families(None) == list(FAMILIES)
    with pytest.raises(SystemExit, match="'ecgs'"):
        chosen_families("ecgs")


# -------------------------------------------------------------------- a round


@pytest.mark.slow
def test_an_epoch_of_each_side_in_turn(windows: SampleSet, tmp_path: Path) -> None:
    folder = windows.write_two_folds(5, 4, tmp_path / "folds")
    arguments = {"task": "ecg", "folder": str(folder), "samples": str(windows.path), "compiled": str(tmp_path)}
    sides = [Worker(role, arguments) for role in ("ours:train_ours", "reference:train_reference")]
    with started(sides) as (ours, plain):
        for _ in range(2):
            (reply,) = run_together([ours])
            assert reply["seconds"] > 0
            (reply,) = run_together([plain], {"workers": 0})
            assert reply["seconds"] > 0
    assert sorted(path.name for path in folder.iterdir()) == ["fold1.h5", "fold2.h5"]


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_tests_itself_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick", "--peak-tflops", "0.5"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip("\n") == (tmp_path / "bench_gpu.md").read_text().rstrip("\n")
    rows = {row["row"]: row for row in read_csv(tmp_path / "bench_gpu.csv", gpu.COLUMNS)}
    assert list(rows) == list(gpu.ROWS)
    assert all(float(row["low"]) > 0 for row in rows.values())
    assert {row for row in rows if not rows[row]["expected"]} == {"ecg_ratio", "image_ratio"}
    assert (float(rows["peak"]["expected"]), rows["peak"]["bound"]) == (0.5, "given")
    content = json.loads((tmp_path / "bench_gpu.json").read_text())
    assert content["values"].keys() == rows.keys()
    # 10 cells with 4 copies in the fewest seconds: a step, and a batch of the test.
    device = Roofline(0.5e12, 1e9 * content["device"]["bandwidth_gb_s"])
    least_s = device.bound(step_work("nuclei")).seconds + device.bound(forward_work("nuclei")).seconds
    assert float(rows["image_ours"]["expected"]) == pytest.approx(40 / least_s, rel=1e-4)
    assert float(rows["image_ours"]["high"]) < float(rows["image_ours"]["expected"])


@pytest.mark.slow
def test_the_error_of_a_worker_is_raised(tmp_path: Path) -> None:
    missing = tmp_path / "none.h5"
    with (
        pytest.raises(RuntimeError, match=re.escape(str(missing))),
        started([Worker("reference:time_augmentation", {"samples": str(missing)})]),
    ):
        pass
