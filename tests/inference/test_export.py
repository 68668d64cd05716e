"""Exported models prediction as the originals do, by programs that are not torch, and say what they are."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from made_models import SPECS, write_drawn_model, write_model
from onnx.reference import ReferenceEvaluator
from refusals import refused
from tolerances import FLOAT32, assert_same

from siwcc.cli.main import main
from siwcc.inference import export
from siwcc.inference.export import export_model
from siwcc.inference.loading import find_single_model
from siwcc.nn.coordinate_channels import ENCODINGS
from siwcc.nn.paper_networks import NETWORKS
from siwcc.training.checkpoint import model_bytes, read_model

pytestmark = pytest.mark.numeric

# Every encoding goes through some network, and the paper's through the most.
ENCODED = {
    ("nimesha", "full"): "weighted",
    ("nimesha", "reduced"): "coord",
    ("lakshya", "full"): "inverted",
    ("lakshya", "reduced"): "fourier",
    ("nimesha", "pooled"): "both",
    ("nimesha", "residual"): "shuffled",
    ("nimesha", "dense"): "weighted",
    ("nimesha", "heatmap"): "duplicate",
    ("nimesha", "median"): "coord",
    ("lakshya", "pooled"): "learned",
    ("lakshya", "residual"): "weighted_unit",
    ("lakshya", "dense"): "coord_unit",
    ("lakshya", "heatmap"): "weighted",
    ("lakshya", "median"): "none",
    ("lakshya", "unet"): "weighted",
    ("lakshya", "unet_replicate"): "none",
    ("volume", "residual"): "coord",
    ("volume", "dense"): "coord_unit",
    ("volume", "heatmap"): "weighted",
    ("volume", "median"): "none",
}


def signals(path: Path, count: int) -> np.ndarray:
    metadata = read_model(path).metadata
    return np.random.default_rng(count).normal(size=(count, metadata.signal_channels, *metadata.spec.shape)) * 2.0


def predictions(path: Path, signal: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return read_model(path).network(torch.from_numpy(signal.astype(np.float32))).numpy()


def test_every_encoding_is_exported_in_some_network() -> None:
    assert set(ENCODED) == set(NETWORKS)
    assert set(ENCODED.values()) | {"none"} == set(ENCODINGS)


# One with a weight for each position, one pooled and one with a heatmap.
FAST = [("nimesha", "full"), ("lakshya", "pooled"), ("nimesha", "heatmap")]


def with_slow(fast: list[tuple[str, str]], networks: Iterable[tuple[str, str]]) -> list[Any]:
    """Parameters for each network; all but the fast ones are slow."""
    return [pytest.param(*case, marks=[] if case in fast else pytest.mark.slow) for case in networks]


@pytest.mark.parametrize(("network", "variant"), with_slow(FAST, NETWORKS))
def test_onnx_predictions_as_the_model(network: str, variant: str, tmp_path: Path) -> None:
    path = write_drawn_model(tmp_path / "model.pt", network, variant, ENCODED[network, variant])
    out = export_model(path, "onnx")
    assert out == tmp_path / "model.onnx"
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    (given,), (predicted,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("signal", "tensor(float)", ["batch", *signals(path, 1).shape[1:]])
    assert (predicted.name, predicted.shape) == ("prediction", ["batch", len(SPECS[network].outputs)])
    for count in (1, 5):
        signal = signals(path, count)
        (found,) = session.run(None, {"signal": signal.astype(np.float32)})
        assert_same(found, predictions(path, signal), FLOAT32, scale=SPECS[network].output_scale)
    # Nothing of the machine that it was made on.
    assert b"site-packages" not in out.read_bytes()
    assert str(Path(export.__file__).parent).encode() not in out.read_bytes()


# Both ways to standardise and to pool, all readouts; the graph is the one that ONNX is made from.
@pytest.mark.parametrize(
    ("network", "variant"),
    with_slow(
        [("nimesha", "full")],
        [
            *[("nimesha", variant) for variant in ("full", "residual", "heatmap", "median")],
            *[("lakshya", variant) for variant in ("reduced", "pooled", "dense", "median")],
        ],
    ),
)
def test_an_exported_program_predictions_as_the_model(network: str, variant: str, tmp_path: Path) -> None:
    path = write_drawn_model(tmp_path / "model.pt", network, variant, ENCODED[network, variant])
    out = export_model(path, "exported-program", tmp_path / "there" / "net.pt2")
    extra = {"siwcc.json": ""}
    program = torch.export.load(io.BytesIO(out.read_bytes()), extra_files=extra).module()
    for count in (1, 5):
        signal = signals(path, count)
        found = program(torch.from_numpy(signal.astype(np.float32))).detach().numpy()
        assert_same(found, predictions(path, signal), FLOAT32, scale=SPECS[network].output_scale)
    assert json.loads(extra["siwcc.json"])["model"]["training_groups"] == ["r1", "r2"]
    assert b"site-packages" not in out.read_bytes()


def described(path: Path) -> dict[str, Any]:
    return export.describe(read_model(path))


def test_the_file_can_be_understood_alone(tmp_path: Path) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted")
    out = export_model(path, "onnx", tmp_path / "a.onnx")
    text = {entry.key: entry.value for entry in onnx.load(out).metadata_props}["siwcc"]
    note = json.loads(text)
    assert note == described(path)
    assert note["input"]["shape"] == ["batch", 2, 48]
    assert note["input"]["channels"] == ["lead 1, mV", "lead 2, mV"]
    assert note["encoding"] == {"name": "weighted", "made_by": "the network", "extent": [19.0]}
    assert note["output"]["columns"] == ["time"]
    assert note["output"]["unit"] == "s"
    # Window, sampling rate, samples of the running median, decimation and samples of the network.
    assert re.findall(r"\d+(?:\.\d+)?", note["preprocessing"])[:5] == ["20.0", "250.0", "11", "10", "48"]
    assert note["model"]["weights_sha256"] == read_model(path).metadata.weights_sha256
    # The same bytes again, and by onnx's own evaluator, which knows nothing of either runtime.
    assert export_model(path, "onnx", tmp_path / "b.onnx").read_bytes() == out.read_bytes()
    signal = signals(path, 3)
    (found,) = ReferenceEvaluator(onnx.load(out)).run(None, {"signal": signal.astype(np.float32)})
    assert_same(found, predictions(path, signal), FLOAT32, scale=SPECS["nimesha"].output_scale)


def test_images_are_described(tmp_path: Path) -> None:
    note = described(write_drawn_model(tmp_path / "model.pt", "lakshya", "full", "coord"))
    assert note["input"]["channels"] == ["red", "green", "blue"]
    assert (note["output"]["columns"], note["output"]["unit"]) == (["x", "y"], "px")
    # Range of a value and size; the border of the settings, mirrored.
    assert re.findall(r"\d+", note["preprocessing"])[:3] == ["0", "255", "32"]
    assert "mirrored" in note["preprocessing"]


def test_an_encoding_that_was_made_before_the_network_is_named(tmp_path: Path) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted", precomputed=True)
    note = described(path)
    assert note["encoding"]["made_by"] == "preprocessing"
    assert note["input"]["shape"] == ["batch", 3, 48]
    assert note["input"]["channels"][2] == "time times the mean of the leads, mV s"
    assert re.search(r"from 0 .* to 20\.0 ", note["preprocessing"])
    out = export_model(path, "exported-program")
    assert torch.export.load(out).module()(torch.zeros(4, 3, 48)).shape == (4, 1)


# -------------------------------------------------------------- refused, or whole


def test_the_command_prints_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted")
    assert main(["export", str(path), "--to", "exported-program"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'model.pt2'}\n"
    assert captured.err == ""


def test_of_a_folder_the_model_of_all_folds_is_exported(tmp_path: Path) -> None:
    for name in ("fold1", "fold2"):
        write_model(tmp_path / "models" / f"{name}.pt")
    with refused(tmp_path / "models", "2 models", remedy="fold1.pt"):
        find_single_model(tmp_path / "models")
    whole = write_model(tmp_path / "models/all.pt")
    assert find_single_model(tmp_path / "models") == whole
    assert find_single_model(whole) == whole
    with refused(tmp_path / "absent.pt"):
        find_single_model(tmp_path / "absent.pt")


def test_a_model_that_comes_with_siwcc_is_exported_by_its_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_single_model(Path("ecg")).name == "all.pt"
    assert export_model(Path("ecg"), "exported-program") == Path("ecg.pt2")
    assert Path("ecg.pt2").is_file()


def test_without_the_exporter_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(["export", str(path), "--to", "onnx"]) == 1
    error = capsys.readouterr().err
    assert all(part in error for part in ("onnxscript", "pip install", "[export]"))
    assert error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no model"])
def test_a_bad_model_is_one_line(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    assert main(["export", str(tmp_path / "model.pt")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"siwcc: {tmp_path / 'model.pt'}: ")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_the_model_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted")
    before = path.read_bytes()
    (tmp_path / "link.onnx").symlink_to(path)
    for out in (path, tmp_path / "link.onnx"):
        assert main(["export", str(path), "--out", str(out)]) == 1
        assert str(out) in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("by", [1e-3, float("nan")])
def test_a_file_that_predictions_otherwise_is_not_left(
    tmp_path: Path, by: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted")
    (tmp_path / "model.pt2").write_bytes(b"an older file")
    opened = export._open_program
    monkeypatch.setattr(
        export, "_open_program", lambda file: lambda signal: [part + by for part in opened(file)(signal)]
    )
    assert main(["export", str(path), "--to", "exported-program"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"siwcc: {tmp_path / 'model.pt2'}: ")
    assert re.search("nan|0.001", error)
    assert error.count("\n") == 1
    assert (tmp_path / "model.pt2").read_bytes() == b"an older file"
    assert {file.name for file in tmp_path.iterdir()} == {"model.pt", "model.pt2"}


def test_a_task_of_any_name_is_described_by_its_kind(tmp_path: Path) -> None:
    path = write_drawn_model(tmp_path / "model.pt", "nimesha", "full", "weighted")
    papers = described(path)
    model = read_model(path)
    content = torch.load(path, weights_only=True)
    metadata = {
        **model.metadata.model_dump(mode="json"),
        "spec": {**json.loads(SPECS["nimesha"].to_json()), "task": "x"},
    }
    del metadata["weights_sha256"]
    path.write_bytes(model_bytes(metadata, content["weights"]))
    found = described(path)
    assert (found["preprocessing"], found["input"]) == (papers["preprocessing"], papers["input"])
    assert re.findall(r"(\d+) samples", found["preprocessing"]) == ["11", "48"]
