"""What a task-blind stage must know of a task: a `TaskSpec`, made by the module of the task's kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from siwcc.config import TASK_OF_KIND, AnyTask, Kind
from siwcc.data.points import points_of
from siwcc.io.errors import InputError

_KIND_OF_AXES: dict[int, Kind] = {1: "signal", 2: "image", 3: "volume"}


@dataclass(frozen=True)
class TaskSpec:
    """Shapes, coordinates and units of a prepared task; stored in every fold file.

    Attributes:
        task: Its key under `tasks` in the config.
        network: First part of the keys of `siwcc.nn.paper_networks.NETWORKS`.
        outputs: Suffixes of the targets: `("",)` for one, `("_x", "_y")` for a point in an image; see
            `siwcc.data.points.output_suffixes`.
        unit: Unit of targets and errors: `s`, `px` or `voxel`.
        channels: Signal channels before any coordinate is added.
        shape: The signal's axes after the channels: (time,), (height, width) or (depth, height, width).
        extent: Coordinate of the last sample, x first: (t,) in seconds, (x, y) in pixels or (x, y, z) in voxels.
        output_scale: The sigmoid head's prediction times this is in `unit`.
    """

    task: str
    network: str
    outputs: tuple[str, ...]
    unit: str
    channels: int
    shape: tuple[int, ...]
    extent: tuple[float, ...]
    output_scale: float

    @property
    def kind(self) -> Kind:
        """What the samples are, by the number of axes."""
        return _KIND_OF_AXES[len(self.shape)]

    @property
    def points(self) -> dict[str, list[int]]:
        """Which outputs each point has, by its name (`siwcc.data.points.points_of`); a single point's name is empty."""
        return points_of(self.outputs)

    def to_json(self) -> str:
        """As one JSON string with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TaskSpec:
        """The inverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        for name in ("outputs", "shape", "extent"):
            values[name] = tuple(values[name])
        return cls(**values)


@dataclass(frozen=True)
class ErrorLimits:
    """What counts as close in a task, and when an event counts as isolated.

    Attributes:
        unit: Of the two limits: `s`, `px` or `voxel`.
        fine, coarse: A prediction is within a limit when its absolute error is at most this.
        isolated_s: Seconds without another event that make an event isolated; None where samples
            are no events.
    """

    unit: str
    fine: float
    coarse: float
    isolated_s: float | None = None


class SignalNote(NamedTuple):
    """What a network is given and predicts, in words, for somebody who has the network alone.

    Attributes:
        channels: A name with unit for each that is given.
        preparation: What is done to a recording or an image before.
        prediction: What the prediction means.
    """

    channels: tuple[str, ...]
    preparation: str
    prediction: str


class TaskModule(Protocol):
    """What the module of a kind of task offers."""

    def make_spec(self, settings: Any, dataset: Any) -> TaskSpec:
        """The spec from the task's section and its data set's section of the config."""
        ...

    def error_limits(self, spec: TaskSpec, limits: tuple[float, float]) -> ErrorLimits:
        """The limits that errors are compared with, from the task's `limits` in the config."""
        ...

    def signal_note(
        self, spec: TaskSpec, given_channels: int, dataset: Mapping[str, Any], task: Mapping[str, Any]
    ) -> SignalNote:
        """What a network of the task is given and predicts.

        Args:
            spec: Of the network.
            given_channels: Those of the spec, and a channel of an encoding where it is made before the network.
            dataset: The data set's protocol, and `task` the task's, as a model's metadata hold them.
            task: See `dataset`.
        """
        ...


def parse_task(spec: TaskSpec, protocol: Mapping[str, Any]) -> AnyTask:
    """The task's section of the config that has this `protocol()`, which fold files and models hold.

    Raises:
        InputError: it is no such thing.
    """
    try:
        return TASK_OF_KIND[spec.kind].model_validate({"name": spec.task, **protocol})
    except (TypeError, ValueError) as error:
        raise InputError(f"task {spec.task}", f"its settings cannot be read ({error})") from error


def task_module(kind: Kind) -> TaskModule:
    """The module of a kind of task, imported when it is needed."""
    return cast(TaskModule, import_module(f"siwcc.data.tasks.{kind}"))
