"""`model.pt`: a trained network in one file, and a reader that trusts nothing in it.

The file is an archive of torch with two entries: `metadata`, sealed JSON that says how to build the network,
and `weights`, its tensors. Reading executes nothing: the archive is opened with `weights_only=True`, and every
tensor is compared with the network that the metadata describes before any of it is used.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, ValidationError
from torch import Tensor
from torch.overrides import TorchFunctionMode

from siwcc.config import HEATMAP_KEYS, RecipeChanges
from siwcc.data.tasks.interface import TaskSpec
from siwcc.io.checksums import MAX_JSON_BYTES, checked_bytes, sealed_json, unsealed_json
from siwcc.io.errors import InputError
from siwcc.io.run_key import RunKey
from siwcc.nn.heatmap_networks import AS_THE_VARIANT, HeatmapOptions
from siwcc.nn.paper_networks import Localiser, build_localiser

MAX_MODEL_BYTES = 256 << 20
ONSETS = "onsets"
"""What the metadata of a network for whole recordings give as its kind, see `siwcc.training.rhythm_checkpoint`."""

_MAX_ENTRIES = 10_000
_MAX_PICKLE_BYTES = 4 << 20
_MAX_CHANNELS = 64
_MAX_OUTPUTS = 256
_MAX_POSITIONS = 1 << 22
_INITIALISERS = {"kaiming_uniform_", "normal_", "uniform_"}
_REMEDY = "take a model.pt that this version of siwcc wrote, or train it again"

Axis = Annotated[int, Field(ge=1, le=_MAX_POSITIONS)]
Channels = Annotated[int, Field(ge=1, le=_MAX_CHANNELS)]
Axes = Annotated[tuple[Axis, ...], Field(min_length=1, max_length=3)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Run(_Checked):
    task: str
    encoding: str
    variant: str
    fold: NonNegativeInt
    seed: int


class _Spec(_Checked):
    """A `TaskSpec` with bounds, as it is in JSON."""

    task: str
    network: str
    outputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_OUTPUTS)]
    unit: str
    channels: Channels
    shape: Axes
    extent: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=3)]
    output_scale: Annotated[FiniteFloat, Field(gt=0)]


class Metadata(_Checked):
    """Everything to rebuild and use a network.

    Attributes:
        run: Which run it is of.
        spec: Shapes, coordinates and units of its task.
        layer_encoding: Name of the first layer's encoding; `none` if what it appends is precomputed.
        signal_channels: Channels that the network is given.
        dataset, dataset_protocol, task_protocol, train: Of the config that it was trained with. Of several data sets
            the first two are `siwcc.io.joined_samples.joined_name` and `siwcc.config.JoinedDatasets.protocol`. In
            models later than version 0.2.0 `train["compile"]` says whether the training was compiled.
        training_groups: Records or slide images that it has seen, sorted.
        versions: Of siwcc and torch.
        weights_sha256: `weights_digest` of the tensors beside it, float32 or `halved`.
    """

    run: _Run
    spec: _Spec
    layer_encoding: str
    signal_channels: Channels
    dataset: str
    dataset_protocol: dict[str, Any]
    task_protocol: dict[str, Any]
    train: dict[str, Any]
    training_groups: tuple[str, ...]
    versions: dict[Literal["siwcc", "torch"], str]
    weights_sha256: str


@dataclass(frozen=True)
class TrainedModel:
    """A network in eval mode on the CPU, with where it comes from."""

    path: Path
    key: RunKey
    spec: TaskSpec
    metadata: Metadata
    network: Localiser


def options_of(train: Mapping[str, Any]) -> HeatmapOptions:
    """What a recipe changes about a heatmap, from the config's `train` or from the metadata of a model.

    Raises:
        ValueError: a loss, decoder or width that does not exist.
    """
    try:
        recipe = RecipeChanges.model_validate({name: train.get(name) for name in HEATMAP_KEYS})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg']}") from error
    return HeatmapOptions(recipe.loss, recipe.decoder, recipe.heatmap_sigma)


def network_for(
    spec: TaskSpec, variant: str, encoding: str, signal_channels: int, options: HeatmapOptions = AS_THE_VARIANT
) -> Localiser:
    """A new network for signals of a task; its weights are drawn from torch's global random numbers.

    Args:
        spec: Shapes, coordinates and units of the task.
        variant: Of the task's network, a second key of `siwcc.nn.paper_networks.NETWORKS`.
        encoding: Of the first layer.
        signal_channels: Channels that the network is given.
        options: What `options_of` gives.

    Raises:
        ValueError: an unknown name, or a shape that the network cannot take.
    """
    return build_localiser(
        network=spec.network,
        variant=variant,
        encoding=encoding,
        signal_channels=signal_channels,
        shape=spec.shape,
        extent=spec.extent,
        output_scale=spec.output_scale,
        points=len(spec.points),
        options=options,
    )


def model_bytes(metadata: Mapping[str, Any], weights: Mapping[str, Tensor]) -> bytes:
    """The content of a `model.pt`, the same for the same network.

    Args:
        metadata: The attributes of `Metadata` but `weights_sha256`, as JSON holds them.
        weights: The network's `state_dict` on the CPU.
    """
    text = sealed_json({**metadata, "weights_sha256": weights_digest(weights)})
    return archive_bytes({"metadata": text, "weights": dict(weights)})


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of two or more axes as float16, which takes half of the room; the rest, of normalisations, as it is."""
    return {name: value.half() if value.dim() > 1 else value for name, value in weights.items()}


def archive_bytes(content: Mapping[str, Any]) -> bytes:
    """`torch.save` into memory: given a path it writes the file's name into the archive."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def read_model(path: Path) -> TrainedModel:
    """Read a `model.pt` of any origin.

    Raises:
        InputError: missing, damaged, foreign, of another version or of another run than the folder's manifest
            says, larger than 256 MB, or its tensors are not those of the network that it describes.
    """
    content = load_archive(path, checked_bytes(path, MAX_MODEL_BYTES, foreign=True))
    text, weights = content.get("metadata"), content.get("weights")
    if set(content) != {"metadata", "weights"} or not isinstance(text, str) or not isinstance(weights, dict):
        raise InputError(path, "is no model of siwcc: it must hold metadata and weights alone", _REMEDY)
    if f'"kind": "{ONSETS}"' in text:
        problem = "is a detector of onsets in whole recordings, no localiser of one event in a window"
        raise InputError(path, problem, "take siwcc.load_detector, or siwcc predict without a choice of windows")
    metadata = _metadata(path, text)
    with torch.random.fork_rng(devices=[]):
        network = _network(path, metadata)
        problem = tensor_problem(weights, network.state_dict(), may_be_halved=True)
        if not problem and weights_digest(weights) != metadata.weights_sha256:
            problem = "its weights do not match their digest"
        if problem:
            raise InputError(path, f"does not hold the network that it describes: {problem}", _REMEDY)
    network.load_state_dict(weights)
    spec = TaskSpec(**metadata.spec.model_dump())
    return TrainedModel(path, RunKey(**metadata.run.model_dump()), spec, metadata, network.eval())


def load_archive(where: Path, content: bytes) -> dict[str, Any]:
    """What `archive_bytes` was given; executes nothing, and unpacks to no more than there is.

    Raises:
        InputError: no archive of torch, damaged, compressed, or it holds other objects than tensors, numbers
            and text in dictionaries and lists.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or len(entries) > _MAX_ENTRIES:
            raise ValueError("compressed or of too many parts")
        if any(entry.file_size > _MAX_PICKLE_BYTES for entry in entries if entry.filename.endswith(".pkl")):
            raise ValueError("its structure is too large")
        loaded = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:
        # zipfile and torch raise whatever damaged input makes them stumble over; torch's own words would
        # advise to load without weights_only, which runs what is in the file.
        kind = type(error).__name__
        raise InputError(where, f"is damaged or was not written by siwcc ({kind})", _REMEDY) from error
    if not isinstance(loaded, dict):
        raise InputError(where, "was not written by siwcc: it holds no dictionary", _REMEDY)
    return loaded


def _metadata(path: Path, text: str) -> Metadata:
    if len(text) > MAX_JSON_BYTES:
        raise InputError(path, "its metadata are too large", _REMEDY)
    values = unsealed_json(path, text, _REMEDY)
    try:
        # From Python, strict wants tuples where JSON has lists.
        return Metadata.model_validate(values, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(path, f"its metadata are wrong at {place}: {first['msg']}", _REMEDY) from error


class WithoutInitialisation(TorchFunctionMode):
    """Within it, parameters keep whatever is in memory.

    A network that a file describes may be larger than memory: its parameters are allocated, and their pages are not
    touched before they are compared with the file's tensors. The device `meta` would do the same, and imports torch's
    compiler, which takes longer than all the rest of a prediction.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Leave out what draws or fills a tensor in place."""
        if func.__name__ in _INITIALISERS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _network(path: Path, metadata: Metadata) -> Localiser:
    spec = TaskSpec(**metadata.spec.model_dump())
    if math.prod(spec.shape) > _MAX_POSITIONS:
        raise InputError(path, f"its metadata describe signals of shape {spec.shape}", _REMEDY)
    if {len(outputs) for outputs in spec.points.values()} - {len(spec.shape)}:
        raise InputError(
            path, f"its metadata describe outputs {spec.outputs} for signals of shape {spec.shape}", _REMEDY
        )
    try:
        with WithoutInitialisation():
            options = options_of(metadata.train)
            return network_for(spec, metadata.run.variant, metadata.layer_encoding, metadata.signal_channels, options)
    except (ValueError, RuntimeError) as error:
        raise InputError(path, f"its metadata describe no network ({error})", _REMEDY) from error


def tensor_problem(found: Mapping[Any, Any], expected: Mapping[str, Tensor], may_be_halved: bool = False) -> str:
    """What is wrong with tensors that should have the names, shapes and dtypes of others; empty if nothing.

    Args:
        found: As read from a file.
        expected: Their values do not matter; they may be on the device `meta`.
        may_be_halved: Whether float16, as from `halved`, is accepted, too.
    """
    if set(found) != set(expected):
        unlike = sorted(map(str, set(found) ^ set(expected)))[0]
        return f"{unlike[:80]} is {'unknown' if unlike in map(str, found) else 'missing'}"
    for name, wanted in expected.items():
        tensor = found[name]
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type == "meta":
            return f"{name} is no plain tensor"
        is_halved = may_be_halved and wanted.dim() > 1 and tensor.dtype == torch.float16
        if tensor.shape != wanted.shape or not (is_halved or tensor.dtype == wanted.dtype):
            return f"{name} is {_kind(tensor)}, not {_kind(wanted)}"
        if tensor.untyped_storage().nbytes() < tensor.nbytes:
            return f"{name} repeats values that are stored once"
        if not bool(torch.isfinite(tensor).all()):
            return f"{name} holds a value that is not finite"
    return ""


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, kinds and values of tensors on the CPU, however they lie in memory."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name}:{_kind(weights[name])}\0".encode())
        digest.update(weights[name].detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
