"""`model.pt`: what was written comes back, and nothing else gets in or runs."""

from __future__ import annotations

import copy
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_models import METADATA, SPEC, network, written
from torch import Tensor

from siwcc.io.checksums import sealed_json
from siwcc.io.errors import InputError
from siwcc.io.files import write_manifest
from siwcc.io.run_key import RunKey
from siwcc.training.checkpoint import archive_bytes, model_bytes, read_model, tensor_problem, weights_digest

pytestmark = pytest.mark.numeric


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path)


def problem_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_model(path)
    assert caught.value.where == str(path)
    # torch's own message says how to load without the check.
    assert "weights_only" not in str(caught.value)
    return caught.value.problem


def test_a_network_comes_back_as_it_was(path: Path) -> None:
    before = torch.get_rng_state()
    model = read_model(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.key == RunKey("ecg", "weighted", "full", 2, 7)
    assert model.spec == SPEC
    assert model.metadata.training_groups == ("r1", "r2")
    assert not model.network.training
    signal = torch.randn(3, 2, 48)
    with torch.inference_mode():
        assert torch.equal(model.network(signal), network().eval()(signal))


def test_the_same_network_gives_the_same_bytes(path: Path) -> None:
    assert model_bytes(METADATA, network().state_dict()) == path.read_bytes()


def test_the_digest_of_weights_is_over_values_not_memory() -> None:
    image = torch.arange(48.0).reshape(2, 3, 2, 4)
    other = image.contiguous(memory_format=torch.channels_last)
    assert weights_digest({"a": image}) == weights_digest({"a": other})
    assert weights_digest({"a": image}) != weights_digest({"b": image})
    assert weights_digest({"a": image}) != weights_digest({"a": image.reshape(2, 3, 4, 2)})


class Runs:
    """Pickled, it calls a function when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.marker,)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    marker, path = tmp_path / "was_run", tmp_path / "model.pt"
    weights = network().state_dict()
    contents = [
        archive_bytes({"metadata": Runs(marker), "weights": weights}),
        archive_bytes({"metadata": "{}", "weights": weights | {"more": Runs(marker)}}),
        pickle.dumps({"metadata": Runs(marker), "weights": {}}),
    ]
    legacy = io.BytesIO()
    torch.save({"metadata": Runs(marker), "weights": {}}, legacy, _use_new_zipfile_serialization=False)
    for content in (*contents, legacy.getvalue()):
        path.write_bytes(content)
        assert "damaged" in problem_of(path)
        assert not marker.exists()
    torch.load(io.BytesIO(contents[0]), weights_only=False)
    assert marker.exists(), "the files would do harm if they were trusted"


def changed(change: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> bytes:
    """A model whose seals are right whatever is in it."""
    metadata, weights = copy.deepcopy(METADATA), dict(network().state_dict())
    change(metadata, weights)
    return model_bytes(metadata, {name: value for name, value in weights.items() if isinstance(value, Tensor)})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m, w: w.update({"body.head.bias": torch.zeros(2)}), "body.head.bias"),
        (lambda m, w: w.update({"body.head.bias": torch.zeros(1).double()}), "body.head.bias"),
        (lambda m, w: w.update({"body.head.bias": torch.zeros(1).half()}), "body.head.bias"),
        (lambda m, w: w.update({"body.head.bias": torch.full((1,), torch.inf)}), "not finite"),
        (lambda m, w: w.pop("body.head.bias"), "body.head.bias"),
        (lambda m, w: w.update({"more": torch.zeros(1)}), "more"),
        (lambda m, w: m.update({"layer_encoding": "none"}), "body.blocks.0.conv.weight"),
        (lambda m, w: m.update({"layer_encoding": "x"}), "metadata"),
        (lambda m, w: m["spec"].update({"network": "os.system"}), "metadata"),
        (lambda m, w: m["spec"].update({"shape": [1 << 40]}), "spec.shape.0"),
        (lambda m, w: m["spec"].update({"shape": [4096, 4096]}), "4096"),
        (lambda m, w: m["spec"].update({"output_scale": -1.0}), "spec.output_scale"),
        (lambda m, w: m.update({"signal_channels": 10**9}), "signal_channels"),
        (lambda m, w: m["train"].update({"decoder": "x" * 99}), "decoder"),
        (lambda m, w: m["train"].update({"heatmap_sigma": 0}), "heatmap_sigma"),
        (lambda m, w: m.update({"more": 1}), "more"),
        (lambda m, w: m.pop("run"), " run"),
    ],
)
def test_content_that_fits_no_network_is_named_even_under_right_seals(
    path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], object], problem: str
) -> None:
    path.write_bytes(changed(change))
    assert problem in problem_of(path)


def test_weights_and_metadata_of_two_models_do_not_mix(path: Path) -> None:
    other = dict(network().state_dict())
    other["body.head.bias"] = other["body.head.bias"] + 1
    metadata = torch.load(path, weights_only=True)["metadata"]
    path.write_bytes(archive_bytes({"metadata": metadata, "weights": other}))
    assert "weights" in problem_of(path)
    path.write_bytes(archive_bytes({"metadata": metadata.replace('"made"', '"mode"'), "weights": other}))
    assert "digest" in problem_of(path)
    path.write_bytes(archive_bytes({"metadata": sealed_json({"x": 1}), "weights": other, "code": "import os"}))
    assert "metadata and weights" in problem_of(path)


def test_another_runs_model_in_a_runs_folder(path: Path) -> None:
    write_manifest(path.with_name("manifest.json"), "", [path])
    read_model(path)
    path.write_bytes(model_bytes(METADATA | {"dataset": "other"}, network().state_dict()))
    assert "manifest.json" in problem_of(path)


def test_an_archive_that_would_unpack_to_more_than_it_is_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert "damaged" in problem_of(path)


def test_tensors_must_be_plain() -> None:
    expected = {"a": torch.zeros(1000)}
    assert tensor_problem({"a": torch.ones(1000)}, expected) == ""
    for refused in (torch.ones(1).expand(1000), torch.ones(1000).to_sparse(), [1.0] * 1000):
        assert tensor_problem({"a": refused}, expected).startswith("a ")
    assert tensor_problem({3: torch.ones(1)}, expected).startswith("3 ")


@pytest.mark.parametrize("length", [0, 3, 100, 5000, -1])
def test_a_cut_file(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    assert "damaged" in problem_of(path)
