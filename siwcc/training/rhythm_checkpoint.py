"""A trained rhythm network in one file, and a reader that trusts nothing in it.

The same archive as that of a localiser, see `siwcc.training.checkpoint`, with other metadata: `kind` is `onsets`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError
from torch import Tensor

from siwcc.config import LONGEST_BEAT_STEP_S
from siwcc.io.checksums import MAX_JSON_BYTES, checked_bytes, sealed_json, unsealed_json
from siwcc.io.errors import InputError
from siwcc.nn.rhythm_network import RhythmNetwork
from siwcc.training.checkpoint import (
    MAX_MODEL_BYTES,
    ONSETS,
    WithoutInitialisation,
    archive_bytes,
    load_archive,
    tensor_problem,
    weights_digest,
)
from siwcc.training.rhythm import new_network
from siwcc.training.rhythm_windows import RhythmRecipe

_MAX_LEADS = 64
_MAX_LAYERS = 64
_MAX_WIDTH = 1024
_MAX_KERNEL = 255
_MAX_WEIGHTS = 1 << 24
# A step must not depend on more than some minutes of the recording.
_MAX_REACH_S = 300.0
_MAX_RATE_HZ = 2000.0
_MAX_BEAT_SIGMA_S = 1.0
_REMEDY = "take a detector that this version of siwcc wrote, or train it again"


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RhythmMetadata(_Checked):
    """Everything to rebuild and use a rhythm network.

    Attributes:
        kind: Tells it from a localiser.
        recipe: Every number of its training, see `RhythmRecipe`.
        leads: Indices of the recordings' leads that it takes, from 0, in their order.
        event_labels: Rhythms that it finds.
        datasets: Settings of each data set that it was trained on, by name.
        training_groups: Subjects that it has seen, sorted.
        fold: Which fold it has not seen; 0: none.
        seed: Of its training.
        versions: Of siwcc and torch.
        weights_sha256: `weights_digest` of the tensors beside it.
    """

    kind: Literal["onsets"]
    recipe: dict[str, Any]
    leads: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1, max_length=_MAX_LEADS)]
    event_labels: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_LEADS)]
    datasets: Annotated[dict[str, dict[str, Any]], Field(max_length=_MAX_LEADS)]
    training_groups: tuple[str, ...]
    fold: NonNegativeInt
    seed: int
    versions: dict[Literal["siwcc", "torch"], str]
    weights_sha256: str


@dataclass(frozen=True)
class RhythmModel:
    """A rhythm network in eval mode on the CPU, with where it comes from."""

    path: Path
    recipe: RhythmRecipe
    metadata: RhythmMetadata
    network: RhythmNetwork


def rhythm_model_bytes(metadata: Mapping[str, Any], weights: Mapping[str, Tensor]) -> bytes:
    """The content of a detector's file, the same for the same network.

    Args:
        metadata: The attributes of `RhythmMetadata` but `kind` and `weights_sha256`, as JSON holds them; `recipe` as
            `RhythmRecipe.to_json` gives it.
        weights: The network's `state_dict` on the CPU.
    """
    text = sealed_json({**metadata, "kind": ONSETS, "weights_sha256": weights_digest(weights)})
    return archive_bytes({"metadata": text, "weights": dict(weights)})


def read_rhythm_model(path: Path) -> RhythmModel:
    """Read a detector of any origin.

    Raises:
        InputError: missing, damaged, foreign, a localiser, of another version, larger than 256 MB, or its tensors are
            not those of the network that it describes.
    """
    content = load_archive(path, checked_bytes(path, MAX_MODEL_BYTES, foreign=True))
    text, weights = content.get("metadata"), content.get("weights")
    if set(content) != {"metadata", "weights"} or not isinstance(text, str) or not isinstance(weights, dict):
        raise InputError(path, "is no detector of siwcc: it must hold metadata and weights alone", _REMEDY)
    metadata = _metadata(path, text)
    recipe = _recipe(path, metadata)
    with torch.random.fork_rng(devices=[]):
        network = _network(path, recipe, len(metadata.leads))
        problem = tensor_problem(weights, network.state_dict())
        if not problem and weights_digest(weights) != metadata.weights_sha256:
            problem = "its weights do not match their digest"
        if problem:
            raise InputError(path, f"does not hold the network that it describes: {problem}", _REMEDY)
    network.load_state_dict(weights)
    return RhythmModel(path, recipe, metadata, network.eval())


def may_be_rhythm_model(path: Path) -> bool:
    """Whether a file looks like a detector; quick, and nothing in it is used. `read_rhythm_model` checks it."""
    try:
        with path.open("rb") as handle:
            return f'"kind": "{ONSETS}"'.encode() in handle.read(MAX_MODEL_BYTES)
    except OSError:
        return False


def _metadata(path: Path, text: str) -> RhythmMetadata:
    if len(text) > MAX_JSON_BYTES:
        raise InputError(path, "its metadata are too large", _REMEDY)
    values = unsealed_json(path, text, _REMEDY)
    if values.get("kind") != ONSETS:
        problem = "is a localiser of one event in a window, no detector of onsets in whole recordings"
        raise InputError(path, problem, "take siwcc.load_model")
    try:
        # From JSON, strict takes lists as tuples.
        metadata = RhythmMetadata.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise InputError(path, f"its metadata are wrong {_first(error)}", _REMEDY) from error
    if len(set(metadata.leads)) < len(metadata.leads):
        raise InputError(path, "its metadata are wrong at leads: one is repeated", _REMEDY)
    return metadata


def _recipe(path: Path, metadata: RhythmMetadata) -> RhythmRecipe:
    """The recipe, complete and in the bounds within which a network can be built and used."""
    values = metadata.recipe
    unlike = sorted(set(values) ^ {field.name for field in fields(RhythmRecipe)})
    if unlike:
        problem = f"its recipe {'has an unknown' if unlike[0] in values else 'lacks'} {unlike[0][:80]}"
        raise InputError(path, problem, _REMEDY)
    try:
        recipe = _recipe_type().validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise InputError(path, f"its recipe is wrong {_first(error)}", _REMEDY) from error
    problem = recipe_problem(recipe, len(metadata.leads))
    if problem:
        raise InputError(path, f"its recipe describes no network that can be used: {problem}", _REMEDY)
    return recipe


@cache
def _recipe_type() -> TypeAdapter[RhythmRecipe]:
    """Made once: it takes as long as to read a network."""
    return TypeAdapter(RhythmRecipe)


def recipe_problem(recipe: RhythmRecipe, leads: int) -> str:
    """Why networks of a recipe cannot be read and used; empty if they can.

    Args:
        recipe: Of the training.
        leads: How many the networks take.
    """
    sizes = (*recipe.stem_kernels, *recipe.stem_strides, *recipe.dilations, recipe.kernel, recipe.width)
    if not sizes or min(sizes) < 1:
        return "a size is below 1"
    if not 1 <= recipe.rate_hz <= _MAX_RATE_HZ or not 0 < recipe.highpass_hz < recipe.rate_hz / 2:
        return f"{recipe.rate_hz:g} Hz with a filter of {recipe.highpass_hz:g} Hz"
    if not (0 < recipe.scale_window_s <= _MAX_REACH_S and recipe.scale_floor_mv > 0 and recipe.clip > 0):
        return "a scale is not above 0"
    if not 1 <= len(recipe.stem_strides) <= _MAX_LAYERS or len(recipe.dilations) > _MAX_LAYERS:
        return "no layer, or too many"
    if recipe.window_samples < recipe.stride:
        return "a window is shorter than a step"
    if recipe.width > _MAX_WIDTH or max(recipe.kernel, *recipe.stem_kernels) > _MAX_KERNEL:
        return "too wide"
    weights = recipe.width * recipe.width * (sum(recipe.stem_kernels) + 2 * recipe.kernel * len(recipe.dilations))
    if weights + leads * recipe.width * max(recipe.stem_kernels) > _MAX_WEIGHTS:
        return "too many weights"
    if recipe.beat_sigma_s and (problem := _beats_problem(recipe)):
        return problem
    reach = recipe.stride * (max(recipe.stem_kernels) + recipe.kernel * sum(recipe.dilations))
    return f"each step depends on {reach / recipe.rate_hz:g} s" if reach > _MAX_REACH_S * recipe.rate_hz else ""


def _beats_problem(recipe: RhythmRecipe) -> str:
    """Why a network of a recipe with outputs for beats could not find them."""
    if not recipe.onset_sigma_s:
        return "outputs for beats without one for onsets"
    if recipe.step_s > LONGEST_BEAT_STEP_S:
        return f"beats cannot be told apart in steps of {recipe.step_s:g} s (at most {LONGEST_BEAT_STEP_S:g} s)"
    if not recipe.step_s / 2 <= recipe.beat_sigma_s <= _MAX_BEAT_SIGMA_S:
        return f"a beat's target of {recipe.beat_sigma_s:g} s in steps of {recipe.step_s:g} s"
    return ""


def _network(path: Path, recipe: RhythmRecipe, leads: int) -> RhythmNetwork:
    try:
        with WithoutInitialisation():
            return new_network(recipe, leads, 0)
    except (ValueError, RuntimeError) as error:
        raise InputError(path, f"its recipe describes no network ({error})", _REMEDY) from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"at {'.'.join(map(str, first['loc']))}: {first['msg']}"
