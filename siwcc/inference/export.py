"""A trained network in a file that other programs run: ONNX, or torch's exported program.

    model.pt -> network with its encoding -> graph with a batch axis of any size -> file, and in it what
        `describe` says -> read back and compared with the network -> its name

One input, `signal`, float32 (batch, channels, *shape), and one output, `prediction`, float32 (batch, outputs), in the
unit of the task. A network that says of several points whether they are visible has a second output, `visible`, float32
(batch, points), 0 ... 1: below 0.5 the point is predicted absent, and its prediction is the best place all the same.

All that the network does is in the graph: standardising, encoding, and reading a heatmap. What stands before it,
from a recording or an image to `signal`, is in the description in words and numbers.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from siwcc.config import protocols_of
from siwcc.data.points import VISIBLE_FROM
from siwcc.data.tasks.interface import SignalNote, task_module
from siwcc.inference.loading import find_single_model
from siwcc.io.errors import InputError
from siwcc.io.files import atomic_path
from siwcc.nn.heatmap_networks import DenseNet
from siwcc.nn.paper_networks import Localiser
from siwcc.training.checkpoint import TrainedModel, read_model

if TYPE_CHECKING:
    import onnx

Kind = Literal["onnx", "exported-program"]
Run = Callable[[Tensor], list[Tensor]]

DESCRIPTION = "siwcc"
"""Key of `metadata_props` that holds the description; in an exported program the extra file `siwcc.json`."""
TOLERANCE = 1e-5
"""Largest difference between the file's predictions and the network's, as a fraction of the largest prediction."""

_SUFFIXES: dict[Kind, str] = {"onnx": ".onnx", "exported-program": ".pt2"}
# One, which graphs like to take for a constant, and sizes other than the example's.
_EXAMPLE_BATCH, _CHECKED_BATCHES = 2, (1, 2, 5)
# Since then the exporter gives a batch axis of any size.
_OLDEST_TORCH_FOR_ONNX = (2, 6)


def export_model(path: Path, to: Kind, out: Path | None = None) -> Path:
    """Write a trained network, encoding included, and compare the file with it.

    Args:
        path: A `model.pt`; `ecg` or `nuclei`, or a folder: see `find_single_model`.
        to: `onnx`, or `exported-program` for `torch.export.load`.
        out: The file; default: the model's name with .onnx or .pt2, beside it; of `ecg`, in the current folder.

    Returns:
        The file. It appears whole, and only if it predicts random signals as the network does, within 1e-5 of
        the largest prediction.

    Raises:
        InputError: the model cannot be read, torch is too old, the network cannot be exported, the file
            would be the model itself, cannot be written, or predicts otherwise.
        ModuleNotFoundError: onnx or onnxscript is not installed.
    """
    named, path = path, find_single_model(path)
    model = read_model(path)
    # Not into the installed package.
    beside = path if named.exists() else Path(named.name)
    target = beside.with_suffix(_SUFFIXES[to]) if out is None else out
    if target.resolve() == path.resolve():
        raise InputError(target, "is the model itself", "choose another file")
    text = json.dumps(describe(model), indent=1, sort_keys=True)
    example = _signals(model, _EXAMPLE_BATCH)
    with _quiet():
        content = (_as_onnx if to == "onnx" else _as_program)(path, _exported(model), example, text)
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
        _check_predictions(target, model, _open_onnx(temporary) if to == "onnx" else _open_program(temporary))
    return target


class _WithVisible(nn.Module):
    """A network with what it says of whether its points are there as a second output."""

    def __init__(self, network: Localiser) -> None:
        super().__init__()
        self.network = network

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """(B, signal channels, *shape) -> (B, outputs), (B, points)."""
        body = cast(DenseNet, self.network.body)
        log_map = body.log_map(self.network.encoded(signal))
        return body.decode(log_map), body.visible(log_map)


def _exported(model: TrainedModel) -> nn.Module:
    return _WithVisible(model.network).eval() if model.network.tells_visible else model.network


def describe(model: TrainedModel) -> dict[str, Any]:
    """What somebody must know who has the exported file alone, as JSON holds it.

    Returns:
        `input` and `output` with name, type, shape, channels and unit; `preprocessing`, what is done to a recording
        or image before; `encoding`, `task` and `variant`; `model`, all metadata of the `model.pt`.
    """
    spec, metadata = model.spec, model.metadata
    note = _signal_note(model)
    return {
        "about": "A localiser trained by siwcc. For research; not for clinical decisions.",
        "task": spec.task,
        "variant": model.key.variant,
        "encoding": {
            "name": model.key.encoding,
            "made_by": "preprocessing" if metadata.layer_encoding != model.key.encoding else "the network",
            "extent": list(spec.extent),
        },
        "input": {
            "name": "signal",
            "dtype": "float32",
            "shape": ["batch", metadata.signal_channels, *spec.shape],
            "channels": list(note.channels),
        },
        "output": {
            "name": "prediction",
            "dtype": "float32",
            "shape": ["batch", len(spec.outputs)],
            "columns": [name.lstrip("_") or "time" for name in spec.outputs],
            "unit": spec.unit,
            "meaning": note.prediction,
        },
        **({"visible": _describe_visible(model)} if model.network.tells_visible else {}),
        "preprocessing": note.preparation,
        "model": metadata.model_dump(mode="json"),
    }


def _describe_visible(model: TrainedModel) -> dict[str, Any]:
    return {
        "name": "visible",
        "dtype": "float32",
        "shape": ["batch", len(model.spec.points)],
        "columns": list(model.spec.points),
        "meaning": f"How much says that the point is there, 0 ... 1: it is not below {VISIBLE_FROM}.",
    }


def _signal_note(model: TrainedModel) -> SignalNote:
    spec, metadata = model.spec, model.metadata
    # What the note contains of them is the same in several data sets.
    dataset_protocol = next(iter(protocols_of(metadata.dataset_protocol).values()))
    return task_module(spec.kind).signal_note(spec, metadata.signal_channels, dataset_protocol, metadata.task_protocol)


# ------------------------------------------------------------------- writing


def _as_program(path: Path, network: nn.Module, example: Tensor, text: str) -> bytes:
    """The bytes of `torch.export.save`, without the places in the source that its nodes come from."""
    batch = ({0: torch.export.Dim("batch", min=1)},)
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=batch)
    except (RuntimeError, ValueError) as error:
        raise _not_exported(path, error) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{DESCRIPTION}.json": text})
    return buffer.getvalue()


def _as_onnx(path: Path, network: nn.Module, example: Tensor, text: str) -> bytes:
    """The bytes of an ONNX model in one file, without the places in the source that its nodes come from."""
    # Named here, not deep in torch, where they are absent.
    import onnx
    import onnxscript  # noqa: F401

    if _version(torch.__version__) < _OLDEST_TORCH_FOR_ONNX:
        raise InputError("torch", f"is {torch.__version__}, too old for --to onnx", "pip install 'torch>=2.6'")
    batch = ({0: torch.export.Dim("batch", min=1)},)
    try:
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["signal"],
            output_names=["prediction", "visible"] if isinstance(network, _WithVisible) else ["prediction"],
            dynamic_shapes=batch,
            dynamo=True,
            verbose=False,
        )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        raise _not_exported(path, error) from error
    if program is None:
        raise _not_exported(path, RuntimeError("no program"))
    proto: onnx.ModelProto = program.model_proto
    for node in (*proto.graph.node, *(node for function in proto.functions for node in function.node)):
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.helper.set_model_props(proto, {DESCRIPTION: text})
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))


def _not_exported(path: Path, error: Exception) -> InputError:
    return InputError(path, f"holds a network that torch {torch.__version__} cannot export ({error})")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporters report optional packages that are absent, and parts of torch that will change."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|onnxscript|copyreg)\b")
            yield
    finally:
        logger.setLevel(level)


# ------------------------------------------------------------------ checking


def _open_program(path: Path) -> Run:
    module = torch.export.load(io.BytesIO(path.read_bytes())).module()
    return lambda signal: _as_list(module(signal))


def _open_onnx(path: Path) -> Run:
    """By onnxruntime where it is installed, else by onnx's own evaluator, which is slow."""
    content = path.read_bytes()
    if importlib.util.find_spec("onnxruntime") is not None:
        import onnxruntime

        session: Any = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    else:
        import onnx
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(onnx.load_from_string(content))
    return lambda signal: [torch.from_numpy(found) for found in session.run(None, {"signal": signal.numpy()})]


def _as_list(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _check_predictions(target: Path, model: TrainedModel, run: Run) -> None:
    for count in _CHECKED_BATCHES:
        signal = _signals(model, count)
        with torch.inference_mode():
            wanted, found = _as_list(_exported(model)(signal)), run(signal)
        apart = _apart(wanted[0], found[0])
        told_apart = max((_apart(*pair) for pair in zip(wanted[1:], found[1:], strict=True)), default=0.0)
        # Not `apart > ...`, which NaN is not.
        if not (apart <= TOLERANCE * model.spec.output_scale and told_apart <= TOLERANCE):
            problem = (
                f"was not written: its predictions for {count} random signals differ from the model's by {apart:.3g}"
            )
            raise InputError(target, f"{problem} {model.spec.unit}", "please report it with the model")


def _apart(wanted: Tensor, found: Tensor) -> float:
    return (found - wanted).abs().max().item() if found.shape == wanted.shape else float("inf")


def _signals(model: TrainedModel, count: int) -> Tensor:
    """Random signals of the model's shape, the same every time."""
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, model.metadata.signal_channels, *model.spec.shape, generator=generator)
