"""A detector's file: what was written comes back, and nothing else gets in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from made_models import DETECTOR, RECIPE, rhythm_network, write_detector, written
from refusals import refused

from siwcc.io.checksums import sealed_json
from siwcc.io.errors import InputError
from siwcc.training.checkpoint import archive_bytes, read_model, weights_digest
from siwcc.training.rhythm_checkpoint import may_be_rhythm_model, read_rhythm_model, rhythm_model_bytes

pytestmark = pytest.mark.numeric


def write(path: Path, weights: Any = None, **changes: Any) -> Path:
    """A file with some of its metadata replaced; None takes a key away."""
    weights = rhythm_network().state_dict() if weights is None else weights
    values = {**DETECTOR, "kind": "onsets", "weights_sha256": weights_digest(weights), **changes}
    text = sealed_json({name: value for name, value in values.items() if value is not None})
    path.write_bytes(archive_bytes({"metadata": text, "weights": dict(weights)}))
    return path


def with_recipe(**changes: Any) -> dict[str, Any]:
    values = {**RECIPE.to_json(), **changes}
    return {name: value for name, value in values.items() if value is not None}


def test_a_network_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "fold3.pt", seed=4, fold=3, training_groups=["r1", "r2"])
    before = torch.get_rng_state()
    model = read_rhythm_model(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert (model.path, model.recipe, model.metadata.fold) == (path, RECIPE, 3)
    assert model.metadata.training_groups == ("r1", "r2")
    assert (model.metadata.leads, model.metadata.event_labels) == ((0, 1), ("VT", "VF"))
    assert not model.network.training
    signal = torch.randn(2, 2, 100)
    with torch.inference_mode():
        assert torch.equal(model.network(signal), rhythm_network(4)(signal))


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "a.pt", seed=4)
    assert rhythm_model_bytes(DETECTOR, rhythm_network(4).state_dict()) == path.read_bytes()


def test_a_localiser_and_a_detector_are_not_mistaken(tmp_path: Path) -> None:
    localiser, detector = written(tmp_path), write_detector(tmp_path / "d.pt")
    assert [may_be_rhythm_model(path) for path in (localiser, detector, tmp_path / "absent")] == [False, True, False]
    with refused(localiser, "localiser", remedy="load_model"):
        read_rhythm_model(localiser)
    with refused(detector, "detector", remedy="load_detector"):
        read_model(detector)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"kind": "other"}, "localiser"),
        ({"fold": -1}, "fold"),
        ({"leads": []}, "leads"),
        ({"leads": [1, 1]}, "leads"),
        ({"event_labels": None}, "event_labels"),
        ({"more": 1}, "more"),
        ({"seed": "1"}, "seed"),
        ({"datasets": {"made": 1}}, "datasets.made"),
        ({"recipe": with_recipe(width=None)}, "lacks width"),
        ({"recipe": with_recipe(layers=3)}, "unknown layers"),
        ({"recipe": with_recipe(width="4")}, "width"),
        ({"recipe": with_recipe(width=4.5)}, "width"),
        ({"recipe": with_recipe(kernel=0)}, "below 1"),
        ({"recipe": with_recipe(kernel=2)}, "no network"),
        ({"recipe": with_recipe(stem_kernels=[3, 3])}, "no network"),
        ({"recipe": with_recipe(stem_kernels=[], stem_strides=[])}, "no layer"),
        ({"recipe": with_recipe(rate_hz=1e9)}, "Hz"),
        ({"recipe": with_recipe(highpass_hz=12.5)}, "Hz"),
        ({"recipe": with_recipe(scale_window_s=1e6)}, "scale"),
        ({"recipe": with_recipe(width=100_000)}, "wide"),
        ({"recipe": with_recipe(width=1024, dilations=[1] * 60)}, "weights"),
        # 2 samples * (3 + 3 * 5,000) / 25 Hz.
        ({"recipe": with_recipe(dilations=[5000])}, "1200.24 s"),
        ({"recipe": with_recipe(width=6)}, "stem"),
        ({"recipe": with_recipe(beat_sigma_s=0.01)}, "target of 0.01 s"),
        ({"recipe": with_recipe(beat_sigma_s=0.2, stem_strides=[6])}, "told apart"),
        ({"leads": [0, 1, 2]}, "stem"),
        ({"weights_sha256": "0" * 64}, "digest"),
    ],
)
def test_metadata_of_another_network_are_refused(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    path = write(tmp_path / "d.pt", **changes)
    with refused(path, found):
        read_rhythm_model(path)


def test_weights_that_are_not_the_networks_are_refused(tmp_path: Path) -> None:
    weights = rhythm_network().state_dict()
    name = "head.bias"
    for problem, tensor in (
        ("not finite", torch.full_like(weights[name], torch.nan)),
        ("float64", weights[name].double()),
        ("(1,)", torch.zeros(1)),
    ):
        path = write(tmp_path / "d.pt", {**weights, name: tensor})
        with refused(path, name, problem):
            read_rhythm_model(path)
    path = write(tmp_path / "d.pt", {key: value for key, value in weights.items() if key != name})
    with refused(path, name, "missing"):
        read_rhythm_model(path)


@pytest.mark.parametrize("damage", ["cut", "bit", "text", "empty"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = write_detector(tmp_path / "d.pt")
    content = bytearray(path.read_bytes())
    at = content.index(b'"event_labels"')
    if damage == "bit":
        content[at + 25] ^= 1
    changed = {"cut": content[:-200], "bit": content, "text": b"no archive", "empty": b""}
    path.write_bytes(changed[damage])
    with pytest.raises(InputError) as caught:
        read_rhythm_model(path)
    assert caught.value.where == str(path)
    assert caught.value.remedy


def test_other_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.pt"
    path.write_bytes(archive_bytes({"weights": rhythm_network().state_dict()}))
    with refused(path, "metadata"):
        read_rhythm_model(path)
