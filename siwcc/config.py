"""The study's configuration, typed and checked before any job runs.

`config.yaml` holds the paper's protocol; a study overlays it. The models below repeat its
values as defaults so that an overlay may name only what it changes (a test keeps the two equal).
Nothing heavy is imported here: the Snakefile loads this module in every job.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from siwcc.io.checksums import MAX_JSON_BYTES, read_text, sealed_json, unsealed_json
from siwcc.io.errors import InputError
from siwcc.io.files import read_yaml, write_text
from siwcc.io.lead_numbers import lead_indices, numbering_remedy, with_lead_numbers
from siwcc.io.spelling import did_you_mean

EncodingName = Literal[
    "none",
    "coord",
    "weighted",
    "coord_unit",
    "weighted_unit",
    "both",
    "duplicate",
    "shuffled",
    "inverted",
    "fourier",
    "learned",
]
VariantName = Literal["full", "reduced", "pooled", "residual", "dense", "heatmap", "median", "unet", "unet_replicate"]
PAPERS_VARIANTS: tuple[VariantName, ...] = ("full", "reduced")
# They take each lead of a signal without its offset and scale: `siwcc.nn.paper_networks`.
STANDARDISED: tuple[VariantName, ...] = ("residual", "dense", "heatmap", "median")
IMAGE_VARIANTS: tuple[VariantName, ...] = ("unet", "unet_replicate")
"""Networks for images only."""
MAP_VARIANTS: tuple[VariantName, ...] = ("unet", "unet_replicate", "heatmap", "median", "dense")
"""Networks with a heatmap, which give a confidence; the most accurate first (docs/explanation/localiser.md)."""
VOLUME_VARIANTS = STANDARDISED
"""Networks for volumes."""
Kind = Literal["signal", "image", "volume"]
"""What a task's samples are: signals over time, images, or volumes."""
SignalPerturbation = Literal["noise", "wander", "lead_missing", "rate", "polarity"]
ImagePerturbation = Literal["noise", "blur", "contrast", "brightness", "stain", "size"]
PerturbationName = Literal[SignalPerturbation, ImagePerturbation]
PERTURBATIONS: dict[Kind, tuple[str, ...]] = {
    "signal": get_args(SignalPerturbation),
    "image": get_args(ImagePerturbation),
    "volume": (),
}
# The format of the data set on which the paper reports each of its tasks.
PAPERS_FORMAT = {"ecg": "vfdb", "nuclei": "sipakmed"}
RecordPoint = Literal["onset", "end"]
CellPoint = Literal["nucleus", "cytoplasm"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Range = tuple[float, float]


def _refuse_bool(value: object) -> object:
    # Python takes `true` for 1. Text stays allowed: `--config train={epochs: 6}` gives "6".
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


Whole = Annotated[int, BeforeValidator(_refuse_bool)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[Name, ...], BeforeValidator(_as_list)]
Side = Annotated[Whole, Field(ge=16, le=4096, multiple_of=16)]
VolumeSide = Annotated[Whole, Field(ge=5, le=1024)]


def _side_or_shape(value: object) -> object:
    # [256, 256] and 256 are the same frame; both give the same bytes.
    return value[0] if isinstance(value, list | tuple) and len(value) == 2 and value[0] == value[1] else value


_SIDE, _SHAPE = "(side)", "(height, width)"
ImageSize = Annotated[
    Annotated[Side, Tag(_SIDE)] | Annotated[tuple[Side, Side], Tag(_SHAPE)],
    Discriminator(lambda value: _SHAPE if isinstance(value, list | tuple) else _SIDE),
    BeforeValidator(_side_or_shape),
]


def _shape_of_size(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _as_texts(value: object) -> object:
    # YAML reads the ending of a column such as x1 as a number.
    if not isinstance(value, list | tuple):
        return value
    return [[_text(part) for part in entry] if isinstance(entry, list | tuple) else entry for entry in value]


Leads = tuple[Annotated[Whole, Field(le=64)], ...]


def _read_switch(value: object) -> object:
    # `--config train={compile: true}` gives text.
    return {"true": True, "false": False}.get(str(value).lower(), value)


Switch = Annotated[Literal["auto", True, False], BeforeValidator(_read_switch)]


def _one_or_sorted(value: object) -> object:
    # A list of one is that one, so that both give the same bytes; the order of several has no meaning.
    if not isinstance(value, list | tuple):
        return value
    return value[0] if len(value) == 1 else sorted(value, key=str)


# In the place of a problem; no key looks like them.
_ONE, _SEVERAL = "(name)", "(names)"
DatasetNames = Annotated[
    Annotated[Name, Tag(_ONE)] | Annotated[tuple[Name, ...], Field(min_length=2), Tag(_SEVERAL)],
    Discriminator(lambda value: _SEVERAL if isinstance(value, list | tuple) else _ONE),
    BeforeValidator(_one_or_sorted),
]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _check_range(name: str, value: Range, low: float, high: float) -> None:
    if not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{name}: must be [from, to] with {low:g} <= from <= to <= {high:g}, not {list(value)}")


def _check_leads(leads: tuple[int, ...]) -> None:
    if remedy := numbering_remedy(leads):
        raise ValueError(f"leads: is {list(leads)}, and {remedy}")
    if len(set(leads)) != len(leads):
        raise ValueError(f"leads: a lead is there twice in {list(leads)}")


def _check_points(points: tuple[str, ...], first: str) -> None:
    if len(set(points)) != len(points) or points[0] != first:
        raise ValueError(f"points: must begin with {first!r} and name each point once, not {list(points)}")


def _without_single_point(values: dict[str, Any]) -> dict[str, Any]:
    """What was made before there were several points, and what is made with one, is the same."""
    return {name: value for name, value in values.items() if name != "points" or len(value) > 1}


# ---------------------------------------------------------------- data sets


class Synthetic(Section):
    """Ask for synthetic raw files, written by `siwcc demo-data`, in place of a download."""

    samples: Whole = Field(ge=1, le=100_000, description="records (ECG) or cells (images) to make")
    seed: Whole = Field(default=42, ge=0, description="the same seed gives the same bytes")


class DatasetSection(Section):
    """What every data set has. One name is one samples file."""

    path: Path | None = Field(default=None, description="local copy, left untouched; null: download")
    url: str | None = Field(default=None, description="where the download starts")
    synthetic: Synthetic | None = None
    max_excluded: float = Field(default=0.05, ge=0, le=1, description="fraction of defective samples tolerated")

    @model_validator(mode="after")
    def _one_origin(self) -> DatasetSection:
        if self.path is not None and self.synthetic is not None:
            raise ValueError("path: names a copy, and synthetic asks for synthetic files; set one of them to null")
        return self

    def protocol(self) -> dict[str, Any]:
        """The values that change the samples, as plain JSON types; leads from 0, as samples and models store them."""
        values = self.model_dump(mode="json", exclude={"path", "url", "max_excluded"})
        if "leads" in values:
            values["leads"] = list(lead_indices(values["leads"]))
        return _without_single_point(values)


class _RecordsSection(DatasetSection):
    """What the sets of WFDB records with rhythm annotations share."""

    kind: ClassVar[Literal["signal"]] = "signal"

    format: str
    event_labels: tuple[str, ...] = Field(min_length=1, description="rhythm labels that count as an event")
    window_s: float = Field(default=20.0, gt=0, le=600, description="seconds")
    rate_hz: float = Field(default=250.0, gt=0, le=100_000, description="Hz; other rates are resampled")
    points: tuple[RecordPoint, ...] = Field(default=("onset",), min_length=1, description="what the samples say")

    @model_validator(mode="after")
    def _points(self) -> Self:
        _check_points(self.points, "onset")
        return self


class VfdbSection(_RecordsSection):
    """MIT-BIH Malignant Ventricular Ectopy Database, or WFDB records laid out like it."""

    leads: ClassVar[tuple[int, ...]] = (1, 2)
    subjects: ClassVar[Mapping[str, str]] = {}
    checksums: ClassVar[str | None] = "vfdb"

    format: Literal["vfdb"] = Field(description="layout of the published files")
    url: str | None = "https://physionet.org/files/vfdb/1.0.0/"
    event_labels: tuple[str, ...] = Field(default=("VF", "VFIB", "VFL", "VT", "ASYS", "HGEA"), min_length=1)


def _texts(value: object) -> object:
    # YAML and `--config` read the name of a record such as 201 as a number. Sorted: the order has no meaning.
    if not isinstance(value, Mapping):
        return value
    named = {_text(name): _text(subject) for name, subject in value.items()}
    return {name: named[name] for name in sorted(named, key=str)}


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class WfdbSection(_RecordsSection):
    """A folder of WFDB records with rhythm annotations, such as the MIT-BIH Arrhythmia Database."""

    format: Literal["wfdb"] = Field(description="WFDB records with rhythm annotations in files .atr")
    leads: Leads = Field(default=(1, 2), min_length=1, max_length=16, description="leads that are used, from 1")
    subjects: Annotated[dict[str, Annotated[str, Field(min_length=1)]], BeforeValidator(_texts)] = Field(
        default_factory=dict, description="record: subject, where a subject has several records; one subject, one group"
    )
    checksums: Name | None = Field(
        default=None, description="SHA-256 of the published files: resources/checksums/<this>.sha256"
    )

    @model_validator(mode="after")
    def _distinct(self) -> WfdbSection:
        _check_leads(self.leads)
        return self

    def protocol(self) -> dict[str, Any]:
        """The values that change the samples; checksums are compared only."""
        return {name: value for name, value in super().protocol().items() if name != "checksums"}


class _CellSection(DatasetSection):
    """What the sets of single cells share."""

    kind: ClassVar[Literal["image"]] = "image"

    image_size: Whole = Field(default=256, ge=16, le=4096, multiple_of=16, description="pixels")
    points: tuple[CellPoint, ...] = Field(default=("nucleus",), min_length=1, description="what the samples say")

    @model_validator(mode="after")
    def _points(self) -> _CellSection:
        _check_points(self.points, "nucleus")
        return self

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the images, pixels."""
        return _shape_of_size(self.image_size)

    @property
    def colours(self) -> int:
        """Channels of the images."""
        return 3


class SipakmedSection(_CellSection):
    """SIPaKMeD: single cells with contours of the nucleus and of the cell."""

    format: Literal["sipakmed"] = Field(description="layout of the published files")
    url: str | None = "https://www.cs.uoi.gr/~marina/SIPAKMED/"
    centroid: Literal["polygon", "vertices"] = "polygon"


class HerlevSection(_CellSection):
    """The Herlev Pap-smear set: single cells with a mask. It has no download."""

    format: Literal["herlev"] = Field(description="layout of the published files")

    @model_validator(mode="after")
    def _real(self) -> HerlevSection:
        if self.synthetic is not None:
            raise ValueError("synthetic: is not made in this format; take sipakmed")
        return self


class FolderSection(DatasetSection):
    """Recordings, images or volumes of your own, with a table of the target in each (docs/how-to/own-data.md)."""

    format: Literal["folder"] = Field(description="recordings, images or volumes of your own, with a table of targets")
    kind: Kind = Field(description="signal: a time in a recording; image, volume: a point in it")
    table: str = Field(
        default="samples.csv", pattern=r"^[^/\\\x00]+\.csv$", description="the table's name in the folder"
    )
    leads: Leads = Field(
        default=(1, 2), min_length=1, max_length=16, description="signal: leads that are used, by number, from 1"
    )
    window_s: float = Field(default=20.0, gt=0, le=600, description="signal: seconds")
    rate_hz: float = Field(default=250.0, gt=0, le=100_000, description="signal: Hz; other rates are resampled")
    csv_rate_hz: float | None = Field(default=None, gt=0, le=100_000, description="signal: Hz of CSVs")
    image_size: ImageSize = Field(default=256, description="image: pixels, of the square or [height, width]")
    colours: Literal[1, 3] = Field(default=3, description="image: channels, 3 for RGB or 1 for grey")
    points_from: Annotated[tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...], BeforeValidator(_as_texts)] = (
        Field(
            default=(),
            description="image, volume: [point, endings], the centroid of the points in columns x<ending>, "
            "y<ending> and, of a volume, z<ending>; not given: one point in x, y and z",
        )
    )
    order_by: Literal["y"] | None = Field(
        default=None, description="image: y: several points from top to bottom, whatever the table calls them"
    )
    volume_shape: tuple[VolumeSide, VolumeSide, VolumeSide] = Field(
        default=(64, 64, 64), description="volume: voxels, [depth, height, width]; arrays of another shape are excluded"
    )
    columns: dict[Literal["file", "group", "class", "sample_id"], str] = Field(
        default_factory=dict, description="what the table calls a column, if not file, group, class or sample_id"
    )
    files_in: str = Field(
        default="", pattern=r"^[^\\\x00]*$", description="folder of the files below path; not given: path itself"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_task(cls, values: object) -> object:
        # Configs and models of earlier versions name the paper's task of this kind.
        if not isinstance(values, Mapping) or "kind" in values or values.get("task") not in KIND_OF_TASK:
            return values
        return {name: value for name, value in values.items() if name != "task"} | {
            "kind": KIND_OF_TASK[values["task"]]
        }

    @model_validator(mode="after")
    def _complete(self) -> FolderSection:
        if self.path is None and self.synthetic is None:
            raise ValueError("path: is missing: it names the folder that holds the table and what it lists")
        _check_leads(self.leads)
        if len(set(self.points)) < len(self.points):
            raise ValueError(f"points_from: a point is there twice in {list(self.points)}")
        for name in self._of_other_kind():
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True):
                raise ValueError(f"{name}: has no meaning for a data set of the kind {self.kind}")
        return self

    @property
    def points(self) -> tuple[str, ...]:
        """The points of a row of the table."""
        single = {"signal": "onset", "image": "nucleus", "volume": "point"}[self.kind]
        return tuple(name for name, *_ in self.points_from) or (single,)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the images, pixels."""
        return _shape_of_size(self.image_size)

    def _of_other_kind(self) -> tuple[str, ...]:
        of_kind: dict[Kind, tuple[str, ...]] = {
            "signal": ("leads", "window_s", "rate_hz", "csv_rate_hz"),
            "image": ("image_size", "colours", "points_from", "order_by"),
            "volume": ("volume_shape", "points_from"),
        }
        return tuple(sorted({name for names in of_kind.values() for name in names} - set(of_kind[self.kind])))

    def protocol(self) -> dict[str, Any]:
        """The values that change the samples; of those for one kind only, that kind's."""
        unset = {name for name in ("points_from", "order_by", "columns", "files_in") if not getattr(self, name)}
        left_out = {*self._of_other_kind(), *unset, *(("colours",) if self.colours == 3 else ())}
        return {name: value for name, value in super().protocol().items() if name not in left_out}


_SECTION_OF_FORMAT: dict[str, type[DatasetSection]] = {
    "vfdb": VfdbSection,
    "wfdb": WfdbSection,
    "sipakmed": SipakmedSection,
    "herlev": HerlevSection,
    "folder": FolderSection,
}
RecordsDataset = VfdbSection | WfdbSection
AnyDataset = VfdbSection | WfdbSection | SipakmedSection | HerlevSection | FolderSection
Dataset = Annotated[AnyDataset, Field(discriminator="format")]


@dataclass(frozen=True)
class JoinedDatasets:
    """Several data sets of one task, whose samples are used as one; what shapes a sample is the same in all.

    Attributes:
        sections: By name, at least two.
    """

    sections: Mapping[str, AnyDataset]

    @property
    def _first(self) -> Any:
        return next(iter(self.sections.values()))

    @property
    def kind(self) -> Kind:
        """As in each section."""
        return cast(Kind, self._first.kind)

    @property
    def points(self) -> tuple[str, ...]:
        """What the samples of each have."""
        return cast(tuple[str, ...], self._first.points)

    @property
    def leads(self) -> tuple[int, ...]:
        """Of the first data set; the others have as many."""
        return cast(tuple[int, ...], self._first.leads)

    @property
    def window_s(self) -> float:
        """Seconds."""
        return float(self._first.window_s)

    @property
    def rate_hz(self) -> float:
        """Hz."""
        return float(self._first.rate_hz)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return cast(tuple[int, int], self._first.image_shape)

    @property
    def colours(self) -> int:
        """Channels of the images."""
        return int(self._first.colours)

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """Depth, height and width, voxels."""
        return cast(tuple[int, int, int], self._first.volume_shape)

    def protocol(self) -> dict[str, Any]:
        """The values that change the samples, of each data set."""
        return {"datasets": {name: section.protocol() for name, section in self.sections.items()}}


TaskDataset = AnyDataset | JoinedDatasets
SignalDataset = VfdbSection | WfdbSection | FolderSection | JoinedDatasets
VolumeDataset = FolderSection | JoinedDatasets
ImageDataset = SipakmedSection | HerlevSection | FolderSection | JoinedDatasets


def _shape_of(section: AnyDataset) -> dict[str, object]:
    """What must be the same in data sets whose samples are used together."""
    if section.kind == "image":
        frame: dict[str, object] = {"image_size": section.image_size, "colours": section.colours}
        return {"kind": section.kind, **frame, "points": list(section.points)}
    if section.kind == "volume":
        return {"kind": section.kind, "volume_shape": section.volume_shape, "points": list(section.points)}
    shape = {"rate_hz": section.rate_hz, "window_s": section.window_s, "number of leads": len(section.leads)}
    return {"kind": section.kind, **shape, "points": list(section.points)}


def unlike(sections: Mapping[str, AnyDataset]) -> str:
    """In what the first of some data sets differs from another, in words; empty if their samples can be joined."""
    (first, *_), shapes = sections, {name: _shape_of(section) for name, section in sections.items()}
    for name, shape in shapes.items():
        for key, value in shapes[first].items():
            if shape.get(key) != value:
                return f"{first!r} and {name!r} differ in {key}: {value} and {shape.get(key)}"
    return ""


def _origin_of(section: AnyDataset) -> object:
    """Where the raw files come from."""
    return section.synthetic or section.path or section.url


def join_datasets(sections: Mapping[str, AnyDataset]) -> TaskDataset:
    """One section as it is, or several as one.

    Args:
        sections: By name, at least one.

    Raises:
        InputError: their samples cannot be joined.
    """
    if len(sections) == 1:
        return next(iter(sections.values()))
    problem = unlike(sections)
    if problem:
        raise InputError("config: dataset", problem, "join data sets that agree in it")
    return JoinedDatasets(sections)


class _DatasetHolder(Section):
    dataset: Dataset


def parse_dataset(values: Mapping[str, Any]) -> AnyDataset:
    """One entry of `datasets`, checked, with the class its `format` asks for."""
    try:
        return _DatasetHolder.model_validate({"dataset": dict(values)}).dataset
    except ValidationError as error:
        raise InputError("config: dataset", _first_problem(error)) from error


def parse_protocol(values: Mapping[str, Any]) -> TaskDataset:
    """What has this `protocol()`, a section or several as one; it does not say where the data are.

    Raises:
        InputError: it is no such thing.
    """
    try:
        # A folder data set must have a path.
        sections = {
            name: parse_dataset({"path": None if part.get("synthetic") else ".", **part})
            for name, part in protocols_of(with_lead_numbers(values)).items()
        }
    except (AttributeError, TypeError) as error:
        raise InputError("config: dataset", f"holds no preprocessing settings ({error})") from error
    return join_datasets(sections)


def protocols_of(values: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The `protocol()` of each of several data sets, by name; that of a single one has the name ""."""
    return values.get("datasets") or {"": values}


# -------------------------------------------------------------------- tasks


class SignalAugmentation(Section):
    """The six steps of the paper's section 2.1, in their order."""

    shift_s: float = Field(default=5.0, ge=0, description="seconds to either side; not used by `shift: rewindow`")
    dropout_s: Range = (1.0, 2.0)
    noise_fraction: Range = (0.01, 0.05)
    wander_fraction: Range = (0.01, 0.05)
    wander_hz: Range = (0.1, 0.5)
    lowpass_hz: Range = (30.0, 50.0)
    highpass_hz: Range = (0.5, 2.0)
    filter_order: Whole = Field(default=3, ge=1, le=8)
    scale: Range = (0.8, 1.2)

    @model_validator(mode="after")
    def _ranges(self) -> SignalAugmentation:
        _check_range("dropout_s", self.dropout_s, 0, 600)
        _check_range("noise_fraction", self.noise_fraction, 0, 1)
        _check_range("wander_fraction", self.wander_fraction, 0, 1)
        _check_range("wander_hz", self.wander_hz, 0, 1e5)
        _check_range("lowpass_hz", self.lowpass_hz, 1e-3, 1e5)
        _check_range("highpass_hz", self.highpass_hz, 1e-3, 1e5)
        _check_range("scale", self.scale, 0, 100)
        if self.highpass_hz[1] >= self.lowpass_hz[0]:
            raise ValueError("highpass_hz: the band-pass needs every high-pass edge below every low-pass edge")
        return self


class TaskSection(Section):
    """What every task has, whatever its kind."""

    name: Name = Field(exclude=True, description="the entry's key under tasks; not given in the file")
    kind: Kind = Field(description="signal: points in time; image, volume: points in an image or a volume")
    dataset: DatasetNames = Field(description="a name under datasets, or a list of several")
    points: tuple[Name, ...] = Field(
        min_length=1, description="points to predict, the data set's first one first; not given: all that it has"
    )
    title: str = Field(default="", max_length=80, description="of the task in the report; not given: its name")
    sample: str = Field(default="sample", min_length=1, description="what a sample is called; with s for several")
    group: str = Field(default="group", min_length=1, description="what a group is called; with s for several")
    folds_rule: Literal["kfold", "every_kth"] = Field(
        default="kfold", description="how folds_by: sample deals out the samples (siwcc.data.folds)"
    )
    limits: tuple[float, float] = Field(description="what counts as close, fine and coarse")

    # Words, which change no number.
    _of_report: ClassVar[frozenset[str]] = frozenset({"kind", "title", "sample", "group", "folds_rule"})

    @model_validator(mode="after")
    def _distinct_points(self) -> Self:
        if len(set(self.points)) != len(self.points):
            raise ValueError(f"points: each point once, not {list(self.points)}")
        if not 0 < self.limits[0] <= self.limits[1]:
            raise ValueError(f"limits: must be [fine, coarse] with 0 < fine <= coarse, not {list(self.limits)}")
        return self

    @property
    def shown_title(self) -> str:
        """What the report calls the task."""
        return self.title or self.name

    @property
    def samples(self) -> tuple[str, str]:
        """What one sample and several are called."""
        return self.sample, f"{self.sample}s"

    @property
    def groups(self) -> tuple[str, str]:
        """What one group and several are called."""
        return self.group, f"{self.group}s"

    @property
    def edges(self) -> str:
        """What augmentation leaves at the edges: a value of `shift` or `border`."""
        raise NotImplementedError

    @property
    def has_zero_edges(self) -> bool:
        """Whether augmentation leaves zeros at the edges, as in the paper."""
        return self.edges in ("zero_fill", "zero")

    def protocol(self) -> dict[str, Any]:
        """The values that shape the folds, as plain JSON types; limits only where they are not the kind's."""
        values = _without_single_point(self.model_dump(mode="json", exclude=set(self._of_report)))
        if self.limits == type(self).model_fields["limits"].default:
            del values["limits"]
        return values


class SignalTask(TaskSection):
    """Points in time in a window of some leads; the defaults are the paper's first task."""

    name: Name = Field(default="ecg", exclude=True, description="the entry's key under tasks; not given in the file")
    kind: Literal["signal"] = "signal"
    dataset: DatasetNames = Field(default="vfdb", description="a name under datasets, or a list of several")
    points: tuple[Name, ...] = Field(
        default=("onset",), min_length=1, description="points to predict: docs/how-to/several-points.md"
    )
    limits: tuple[float, float] = Field(default=(0.5, 1.0), description="s, what counts as close: fine and coarse")
    copies_per_sample: Whole = Field(default=100, ge=1, le=10_000)
    shift: Literal["zero_fill", "rewindow"] = Field(
        default="zero_fill", description="zero_fill: as the paper; rewindow: each copy is cut out of the recording"
    )
    weighted_at: Literal["model_rate", "source_rate"] = "model_rate"
    median_samples: Whole = Field(default=11, ge=1, le=1001, description="odd; source samples")
    decimate_by: Whole = Field(default=10, ge=1, le=1000, description="source samples for one model sample")
    augmentation: SignalAugmentation = SignalAugmentation()

    @property
    def edges(self) -> str:
        """What augmentation leaves at the edges."""
        return self.shift

    @model_validator(mode="after")
    def _odd(self) -> SignalTask:
        if self.median_samples % 2 == 0:
            raise ValueError(f"median_samples: must be odd, not {self.median_samples}")
        return self


class ImageAugmentation(Section):
    """Random affine of the paper's section 2.1."""

    translation_px: float = Field(default=20.0, ge=0, description="pixels of a 256-pixel image, to either side")
    rotation_deg: float = Field(default=20.0, ge=0, le=180, description="degrees to either side")
    scale: Range = (0.75, 1.25)

    @model_validator(mode="after")
    def _ranges(self) -> ImageAugmentation:
        _check_range("scale", self.scale, 0.01, 100)
        return self


class ImageTask(TaskSection):
    """Points in an image; the defaults are the paper's second task."""

    name: Name = Field(default="nuclei", exclude=True, description="the entry's key under tasks; not given in the file")
    kind: Literal["image"] = "image"
    dataset: DatasetNames = Field(default="sipakmed", description="a name under datasets, or a list of several")
    points: tuple[Name, ...] = Field(
        default=("nucleus",), min_length=1, description="points to predict: docs/how-to/several-points.md"
    )
    limits: tuple[float, float] = Field(
        default=(0.05, 0.1), description="fraction of the image's height, what counts as close: fine and coarse"
    )
    copies_per_sample: Whole = Field(default=20, ge=1, le=10_000)
    border: Literal["zero", "reflect"] = Field(
        default="zero", description="zero: as the paper; reflect: mirror the image, no target outside the frame"
    )
    augmentation: ImageAugmentation = ImageAugmentation()

    @property
    def edges(self) -> str:
        """What augmentation leaves at the edges."""
        return self.border


class VolumeAugmentation(Section):
    """Random translation."""

    translation_voxels: Whole = Field(
        default=4, ge=0, le=512, description="whole voxels to either side along each axis; no target leaves the volume"
    )


class VolumeTask(TaskSection):
    """Points in a volume."""

    name: Name = Field(default="volume", exclude=True, description="the entry's key under tasks; not given in the file")
    kind: Literal["volume"] = "volume"
    points: tuple[Name, ...] = Field(
        default=("point",), min_length=1, description="points to predict; not given: all that the data set has"
    )
    limits: tuple[float, float] = Field(
        default=(0.05, 0.1), description="fraction of the longest side, what counts as close: fine and coarse"
    )
    copies_per_sample: Whole = Field(default=20, ge=1, le=10_000, description="augmented copies of each volume")
    augmentation: VolumeAugmentation = VolumeAugmentation()

    @property
    def edges(self) -> str:
        """What augmentation leaves at the edges."""
        return "reflect"


AnyTask = SignalTask | ImageTask | VolumeTask
Task = Annotated[AnyTask, Field(discriminator="kind")]
TASK_OF_KIND: dict[Kind, type[AnyTask]] = {"signal": SignalTask, "image": ImageTask, "volume": VolumeTask}
# By the discriminator, which is in the location of a problem.
_SECTIONS: dict[str, type[Section]] = {
    **_SECTION_OF_FORMAT,
    **{str(kind): section for kind, section in TASK_OF_KIND.items()},
}
PAPERS_TASKS: dict[str, dict[str, Any]] = {
    "ecg": {"kind": "signal", "title": "ECG changepoints", "sample": "event", "group": "record"},
    "nuclei": {
        "kind": "image",
        "title": "Nucleus centres",
        "sample": "cell",
        "group": "slide image",
        "folds_rule": "every_kth",
    },
}
"""What the paper's tasks are where a study says nothing else of them; their other defaults are their kind's."""

KIND_OF_TASK: dict[str, Kind] = {name: task["kind"] for name, task in PAPERS_TASKS.items()}
"""The kinds of the paper's tasks, which the command line takes by name."""


def _filled_tasks(given: object, datasets: object) -> object:
    """The entries of `tasks` with their names, the paper's tasks among them, and points where none are given."""
    if not isinstance(given, Mapping):
        return given
    tasks: dict[Any, Any] = {name: {**task} for name, task in PAPERS_TASKS.items()}
    for name, values in given.items():
        if isinstance(values, TaskSection):
            values = {**values.model_dump(), "name": values.name}
        if not isinstance(values, Mapping):
            tasks[name] = values
            continue
        if values.get("name", name) != name:
            raise ValueError(f"tasks.{name}.name: the name is the key; leave it out")
        tasks[name] = {**tasks.get(name, {"dataset": None}), **values}
    for name, values in tasks.items():
        if isinstance(values, dict):
            values["name"] = name
            if name not in PAPERS_TASKS and values.get("points") is None:
                values["points"] = _all_points(values.get("dataset"), datasets)
    return tasks


def _all_points(names: object, datasets: object) -> object:
    """The points of a task's data set, or of the first of several; None where there is no such data set."""
    name = names[0] if isinstance(names, list | tuple) and names else names
    section = datasets.get(name) if isinstance(datasets, Mapping) else None
    if section is None:
        return None
    try:
        return (section if isinstance(section, DatasetSection) else parse_dataset(section)).points  # type: ignore[attr-defined]
    except InputError:
        # Said by the data set's own check.
        return None


# ------------------------------------------------------- onsets in recordings

Probability = Annotated[float, Field(ge=0, le=1)]
# Baselines filter the leads from 0.5 to 40 Hz.
_LEAST_ONSETS_HZ = 100.0
LONGEST_BEAT_STEP_S = 0.2
"""Steps of a network that tells beats apart."""


def _check_odd(value: int) -> int:
    if value % 2 == 0:
        raise PydanticCustomError("odd", "must be odd")
    return value


OddWhole = Annotated[Whole, Field(ge=1, le=255), AfterValidator(_check_odd)]


class OnsetTraining(Section):
    """Every number of the training of a network over the time of a recording (`siwcc.training.rhythm`)."""

    rate_hz: float = Field(default=50.0, gt=0, le=1000, description="Hz, sampling rate of the network's input")
    highpass_hz: float = Field(default=0.5, gt=0, le=100, description="Hz, of the filter that removes the baseline")
    scale_window_s: float = Field(default=61.0, gt=0, le=3600, description="s, over which the running scale is taken")
    scale_floor_mv: float = Field(default=0.1, gt=0, le=100, description="mV, the smallest scale of a lead")
    clip: float = Field(default=20.0, gt=0, le=1000, description="largest absolute value of the input, in scales")
    width: Whole = Field(default=32, ge=1, le=512, description="channels of the network")
    stem_kernels: tuple[OddWhole, ...] = Field(default=(7, 5, 5), max_length=4, description="samples, odd")
    stem_strides: tuple[Annotated[Whole, Field(ge=1, le=16)], ...] = Field(
        default=(2, 2, 2), max_length=4, description="samples, one stride for each stem kernel"
    )
    kernel: OddWhole = Field(default=3, description="steps, odd, of the dilated convolutions")
    dilations: tuple[Annotated[Whole, Field(ge=1, le=4096)], ...] = Field(
        default=(1, 2, 4, 8, 16, 32), max_length=16, description="steps between two taps, one block each"
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="fraction of the channels left out before the last layer"
    )
    asinh: bool = Field(default=True, description="take the inverse hyperbolic sine of the input")
    window_s: float = Field(default=60.0, gt=0, le=600, description="s, length of a training window")
    batches: Whole = Field(default=1000, ge=1, le=1_000_000, description="optimiser steps of a training")
    batch_size: Whole = Field(default=22, ge=2, le=65_536, description="windows of a batch")
    learning_rate: float = Field(default=3e-3, gt=0, le=10, description="the largest of a cosine schedule")
    weight_decay: float = Field(default=1e-3, ge=0, le=10, description="of the weights, not in the loss")
    warm_up: Probability = Field(default=0.1, description="fraction of the batches with a rising learning rate")
    ema_decay: float = Field(default=0.99, ge=0, lt=1, description="of the mean of the weights, kept per batch")
    near_onset: Probability = Field(default=0.5, description="fraction of the windows around onsets")
    near_change: Probability = Field(default=0.15, description="fraction around changes between other rhythms")
    balance: Probability = Field(default=0.5, description="0: every onset alike; 1: every record alike")
    merge_gap_s: float = Field(default=3.0, ge=0, le=600, description="s, time between closer intervals has no loss")
    ignored_s: float = Field(default=0.2, ge=0, le=600, description="s to either side of a change without loss")
    onset_sigma_s: float = Field(default=0.3, gt=0, le=60, description="s, standard deviation of the onset's target")
    onset_weight: float = Field(default=1.0, ge=0, le=1000, description="of the onset's loss")
    onset_positive: float = Field(default=5.0, gt=0, le=1000, description="of an onset against none, in its loss")
    beat_sigma_s: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="s, standard deviation of a beat's target; 0: no outputs for beats, which must be annotated",
    )
    beat_weight: float = Field(default=1.0, ge=0, le=1000, description="of the beats' loss")
    beat_positive: float = Field(default=3.0, gt=0, le=1000, description="of a beat against none, in its loss")
    paste: Probability = Field(default=0.35, description="probability of a pasted stretch of another rhythm")
    paste_s: Range = Field(default=(1.2, 6.0), description="s, length of a pasted stretch")
    paste_labels: tuple[str, ...] = Field(
        default=("VT", "VFL", "VF", "VFIB"), description="malignant rhythms that are pasted"
    )
    fade_s: float = Field(default=0.15, ge=0, le=60, description="s, of fading in and out")
    burst: Probability = Field(default=0.15, description="probability of a noise burst")
    flat: Probability = Field(default=0.1, description="probability of a flat stretch")
    sign: Probability = Field(default=0.5, description="probability that a lead changes its sign")
    order: Probability = Field(default=0.5, description="probability that the leads change places")
    turn: Probability = Field(default=0.1, description="probability that two leads are turned in their plane")
    silence: Probability = Field(default=0.15, description="probability that one lead is silent")
    noise: float = Field(default=0.15, ge=0, le=10, description="most white noise, in scales")
    wander: float = Field(default=0.25, ge=0, le=10, description="most baseline wander, in scales")
    gain: float = Field(default=1.3, ge=1, le=100, description="largest factor of the amplitude, up or down")
    speed: float = Field(default=1.08, ge=1, le=10, description="largest factor of the time axis, up or down")

    @model_validator(mode="after")
    def _ranges(self) -> OnsetTraining:
        _check_range("paste_s", self.paste_s, 0.1, 600)
        if len(self.stem_kernels) != len(self.stem_strides):
            raise ValueError(f"stem_strides: must have as many as stem_kernels ({len(self.stem_kernels)})")
        if self.highpass_hz >= self.rate_hz / 2:
            raise ValueError(f"highpass_hz: must be below half of rate_hz ({self.rate_hz / 2:g})")
        if self.near_onset + self.near_change > 1:
            raise ValueError(f"near_change: must be at most 1 with near_onset ({self.near_onset:g})")
        step_s = math.prod(self.stem_strides) / self.rate_hz
        if self.beat_sigma_s and step_s > LONGEST_BEAT_STEP_S:
            problem = f"must give steps of at most {LONGEST_BEAT_STEP_S:g} s with beat_sigma_s, not of {step_s:g} s"
            raise ValueError(f"stem_strides: {problem}")
        if self.beat_sigma_s and self.beat_sigma_s < step_s / 2:
            raise ValueError(f"beat_sigma_s: must be 0 or at least half a step of the network ({step_s / 2:g} s)")
        return self


class OnsetCurve(Section):
    """How the curves of the networks become candidates (`siwcc.evaluation.rhythm_rises.RiseSettings`)."""

    rise_s: float = Field(default=3.0, gt=0, le=600, description="s, before and after a moment that are compared")
    gap_s: float = Field(default=0.3, ge=0, le=60, description="s, to either side of the moment that do not count")
    onset_weight: Probability = Field(default=0.3, description="of the onset's probability in the score; else the rise")
    apart_s: float = Field(default=2.0, gt=0, le=600, description="s, of scores closer than this the largest counts")
    least_score: float = Field(default=0.02, gt=0, le=1, description="candidates with a lower score are left out")
    end_level: Probability = Field(default=0.3, description="an episode ends where the probability falls below this")


class Onsets(Section):
    """Onsets in whole recordings: docs/how-to/find-onsets.md."""

    dataset: Names = Field(min_length=1, description="data sets with annotated rhythms; folds by subject")
    external: Names = Field(default=(), description="data sets that no network is trained on")
    false_alarms_per_h: float = Field(
        default=1.0, gt=0, le=3600, description="of the default threshold, per hour of non-malignant time"
    )
    training: OnsetTraining = OnsetTraining()
    curve: OnsetCurve = OnsetCurve()

    @property
    def datasets(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.dataset, *self.external)


# ----------------------------------------------------------------- training


class OnlineAugmentation(Section):
    """What is done to a training signal, drawn again for every sample in every epoch."""

    sign: float = Field(default=0.0, ge=0, le=1, description="probability that a channel changes its sign")
    order: float = Field(default=0.0, ge=0, le=1, description="probability that the channels change places")
    silence: float = Field(default=0.0, ge=0, le=1, description="probability that one channel is silent")
    turn: float = Field(default=0.0, ge=0, le=1, description="probability that two channels are turned in their plane")
    noise: float = Field(default=0.0, ge=0, le=10, description="most noise, of a channel's largest value")
    wander: float = Field(default=0.0, ge=0, le=10, description="largest sine, of the same; over time only")
    patch: float = Field(
        default=0.0, ge=0, le=1, description="probability of a silent part beside the points; over time only"
    )
    mirror: float = Field(
        default=0.0, ge=0, le=1, description="images: probability of each mirroring: left-right, top-bottom, x for y"
    )
    mirrorings: Literal["all", "left_right"] = Field(default="all", description="which of them there are")


LossName = Literal["cross_entropy", "squared_error", "adaptive_wing", "soft_argmax"]
DecoderName = Literal["arg_max", "soft_argmax", "median", "chain"]


HEATMAP_KEYS = ("loss", "decoder", "heatmap_sigma")
"""What a recipe may change about a heatmap."""


class RecipeChanges(Section):
    """What one variant of the network trains otherwise; what is not given stays as for the others."""

    epochs: Whole | None = Field(default=None, ge=1, le=10_000)
    batch_size: Whole | None = Field(default=None, ge=2, le=65_536)
    learning_rate: float | None = Field(default=None, gt=0, le=10)
    schedule: Literal["constant", "one_cycle"] | None = None
    rows_per_epoch: Whole | None = Field(default=None, ge=2, le=100_000_000)
    balance: float | None = Field(default=None, ge=0, le=1)
    new_copies: bool | None = None
    online_augmentation: OnlineAugmentation | None = None
    loss: LossName | None = None
    decoder: DecoderName | None = None
    heatmap_sigma: float | None = Field(default=None, gt=0, le=10_000)


def _backbone_recipe() -> dict[VariantName, RecipeChanges]:
    """How networks on the residual backbone are trained: found by inner validation, docs/explanation/localiser.md."""
    recipe = RecipeChanges(
        epochs=4,
        batch_size=64,
        learning_rate=2e-3,
        schedule="one_cycle",
        balance=0.5,
        new_copies=True,
        online_augmentation=OnlineAugmentation(
            sign=0.5, order=0.5, silence=0.2, turn=0.5, noise=0.03, wander=0.1, patch=0.8
        ),
    )
    return dict.fromkeys(STANDARDISED, recipe) | dict.fromkeys(IMAGE_VARIANTS, _unet_recipe())


def _unet_recipe() -> RecipeChanges:
    return RecipeChanges(
        epochs=7,
        batch_size=16,
        learning_rate=4e-3,
        schedule="one_cycle",
        balance=0.0,
        new_copies=True,
        online_augmentation=OnlineAugmentation(mirror=0.5),
    )


class Train(Section):
    """Section 2.4 of the paper, the recipes of networks that are not the paper's, and the machine."""

    epochs: Whole = Field(default=15, ge=1, le=10_000)
    batch_size: Whole = Field(default=32, ge=2, le=65_536)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    schedule: Literal["constant", "one_cycle"] = Field(
        default="constant", description="one_cycle: up over a fifth of the steps, then down to 0 along a cosine"
    )
    rows_per_epoch: Whole | None = Field(
        default=None, ge=2, le=100_000_000, description="training rows drawn for an epoch; null: every row once"
    )
    balance: float = Field(
        default=0.0, ge=0, le=1, description="0: every row alike; 1: every record or slide image alike"
    )
    new_copies: bool = Field(default=False, description="every drawn row is a copy that never was before, moved only")
    online_augmentation: OnlineAugmentation = OnlineAugmentation()
    loss: LossName | None = Field(
        default=None,
        description="of a heatmap (siwcc.nn.heatmap_losses); null: cross_entropy, for dense soft_argmax",
    )
    decoder: DecoderName | None = Field(
        default=None, description="how a point is read from a heatmap; null: arg_max, for dense and median their own"
    )
    heatmap_sigma: float | None = Field(
        default=None, gt=0, le=10_000, description="s or px, of the Gaussian around the point; null: the variant's"
    )
    by_variant: dict[VariantName, RecipeChanges] = Field(default_factory=_backbone_recipe)
    scored_epochs: Literal["all", "last"] = Field(
        default="all", description="after which the test fold is scored; the instability of a curve needs all"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Whole = Field(default=1, ge=1, le=256)
    compile: Switch = Field(
        default="auto", description="auto: for long trainings on a CPU, where a C++ compiler is there"
    )

    def of(self, variant: str) -> Train:
        """How one variant of the network is trained."""
        changes = self.by_variant.get(cast(VariantName, variant), RecipeChanges())
        given = {name: value for name in RecipeChanges.model_fields if (value := getattr(changes, name)) is not None}
        return self.model_copy(update=given | {"by_variant": {}})

    def recorded(self) -> dict[str, Any]:
        """As plain JSON types, without keys that are not set and that older versions did not have."""
        values = self.model_dump(mode="json")
        of_heatmap = {name: values.pop(name) for name in HEATMAP_KEYS}
        if not self.online_augmentation.mirror:
            del values["online_augmentation"]["mirror"]
        if self.online_augmentation.mirrorings == "all":
            del values["online_augmentation"]["mirrorings"]
        if self.scored_epochs == "all":
            del values["scored_epochs"]
        return values | {name: value for name, value in of_heatmap.items() if value is not None}


def check_cores(settings: Train, cores: int) -> None:
    """Refuse to train with another number of threads than asked for: it would change the bytes."""
    if cores < settings.threads:
        raise InputError(
            "train.threads",
            f"asks for {settings.threads} threads, only {cores} core(s) are given",
            f"run with --cores {settings.threads} or more, or lower train.threads",
        )


# The variable by which the user or a scheduler says which GPUs a process may use, and its values for none of them.
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
HIDES_EVERY_GPU = ("", "-1", "NoDevFiles")


def resolve_device(device: str) -> str:
    """`auto` is cuda where an NVIDIA device exists and may be used, else cpu; decided without importing torch."""
    if device != "auto":
        return device
    if os.environ.get(VISIBLE_GPUS) in HIDES_EVERY_GPU:
        return "cpu"
    return "cuda" if Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") else "cpu"


class Config(Section):
    """A whole study."""

    study: Name = "paper"
    run: tuple[Name, ...] = Field(default=("ecg", "nuclei"), min_length=1)
    tasks: dict[Name, Task] = Field(default_factory=dict, validate_default=True)
    datasets: dict[Name, Dataset]
    encodings: tuple[EncodingName, ...] = Field(default=("coord", "weighted"), min_length=1)
    variants: tuple[VariantName, ...] = Field(default=("full", "reduced"), min_length=1)
    seeds: tuple[Annotated[Whole, Field(ge=0, lt=2**32)], ...] = Field(default=(42,), min_length=1)
    folds: Whole = Field(default=5, ge=2, le=1000)
    folds_by: Literal["sample", "group"] = "sample"
    seed: Whole = Field(default=42, ge=0, lt=2**32)
    comparisons: tuple[tuple[EncodingName, EncodingName], ...] = (("coord", "weighted"),)
    robustness: tuple[PerturbationName, ...] = Field(
        default=(), description="perturbations of the test samples; each task is given those that it has"
    )
    external: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict, description="data sets that the networks of a task are tested on and that they never see"
    )
    train: Train = Train()
    onsets: Onsets | None = Field(default=None, description="onsets in whole recordings; null: not looked for")

    @model_validator(mode="before")
    @classmethod
    def _fill_tasks(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        return {**values, "tasks": _filled_tasks(values.get("tasks", {}), values.get("datasets"))}

    def task(self, name: str) -> AnyTask:
        """The section of a task."""
        return self.tasks[name]

    def kind_of(self, task: str) -> Kind:
        """What a task's samples are."""
        return self.tasks[task].kind

    @property
    def signal_tasks(self) -> dict[str, SignalTask]:
        """The tasks to run whose samples are signals."""
        return {name: task for name in self.run if isinstance(task := self.tasks[name], SignalTask)}

    def datasets_of(self, task: str) -> tuple[str, ...]:
        """The names of the data sets that a task reads."""
        names = self.task(task).dataset
        return (names,) if isinstance(names, str) else names

    @property
    def datasets_in_use(self) -> list[str]:
        """The names of all data sets that the study reads, sorted."""
        return sorted({*self.datasets_of_tasks, *(self.onsets.datasets if self.onsets else ())})

    @property
    def datasets_of_tasks(self) -> list[str]:
        """The names of the data sets whose samples the tasks read, sorted."""
        return sorted({name for task in self.run for name in (*self.datasets_of(task), *self.external_of(task))})

    def external_of(self, task: str) -> tuple[str, ...]:
        """The names of the data sets that the networks of a task are tested on and that they never see."""
        return self.external.get(task, ())

    def sections_of(self, task: str) -> dict[str, AnyDataset]:
        """The sections of the data sets that a task reads, by name."""
        return {name: self.datasets[name] for name in self.datasets_of(task)}

    def dataset_of(self, task: str) -> TaskDataset:
        """The section of the data set that a task reads, or several as one."""
        return join_datasets(self.sections_of(task))

    def perturbations_of(self, task: str) -> tuple[str, ...]:
        """Those of `robustness` that a task has, in their order."""
        return tuple(name for name in self.robustness if name in PERTURBATIONS[self.kind_of(task)])

    @property
    def signal_perturbations(self) -> tuple[str, ...]:
        """Those of `robustness` that are done to signals, in their order."""
        return tuple(name for name in self.robustness if name in PERTURBATIONS["signal"])

    def papers_protocol(self, task: str) -> bool:
        """Whether a task's folds and augmentation are the paper's: published values are of no other protocol."""
        return task in PAPERS_FORMAT and self.tasks[task].has_zero_edges and self.folds_by == "sample"

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        for name in ("run", "encodings", "variants", "seeds", "comparisons", "robustness"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: an entry is there twice")
        for pair in self.comparisons:
            absent = [name for name in pair if name not in self.encodings]
            if absent:
                raise ValueError(f"comparisons: {absent[0]!r} is not among encodings {list(self.encodings)}")
            if pair[0] == pair[1]:
                raise ValueError(f"comparisons: {pair[0]!r} is compared with itself")
        for name in self.run:
            self._check_task_exists(f"run: {name!r}", name)
        for name in self.external:
            self._check_task_exists(f"external.{name}:", name)
        for task in self.run:
            names = self.datasets_of(task)
            for name in names:
                self._check_dataset(task, name, f"tasks.{task}.dataset")
            self._check_joined(task, names)
            self._check_external(task, names)
        self._check_chains()
        for key, settings in self.signal_tasks.items():
            for variant in self.variants:
                self._check_stored_weights(key, settings, variant)
            self._check_signal_task(key, settings)
        self._check_variants()
        self._check_robustness()
        if self.onsets is not None:
            self._check_onsets(self.onsets)
        return self

    def _check_onsets(self, onsets: Onsets) -> None:
        if len(set(onsets.datasets)) < len(onsets.datasets):
            raise ValueError(f"onsets: a data set is there twice in {list(onsets.datasets)}")
        first: RecordsDataset | None = None
        checked: list[str] = []
        for name in onsets.datasets:
            key = f"onsets.{'external' if name in onsets.external else 'dataset'}"
            section = self._existing_dataset(key, name)
            if not isinstance(section, RecordsDataset):
                raise ValueError(f"{key}: {name!r} has no annotated rhythms: its format is {section.format!r}")
            if not section.rate_hz.is_integer() or section.rate_hz < _LEAST_ONSETS_HZ:
                raise ValueError(
                    f"datasets.{name}.rate_hz: must be a whole number of at least {_LEAST_ONSETS_HZ:g} for {key}"
                )
            if other := self._of_the_same_files(name, checked):
                raise ValueError(f"{key}: {name!r} and {other!r} are the same files")
            checked.append(name)
            first = first or section
            if (section.rate_hz, len(section.leads)) != (first.rate_hz, len(first.leads)):
                raise ValueError(f"{key}: {name!r} has another rate or number of leads than the first")

    def _check_variants(self) -> None:
        for task in self.run:
            kind = self.kind_of(task)
            of_others = VOLUME_VARIANTS if kind == "volume" else get_args(VariantName)
            for variant in self.variants:
                if variant not in of_others or (variant in IMAGE_VARIANTS and kind != "image"):
                    problem = f"is no network for a {kind}; take heatmap for {task}, or run other tasks alone"
                    raise ValueError(f"variants: {variant!r} {problem}")

    def _check_chains(self) -> None:
        chained = [variant for variant in self.variants if self.train.of(variant).decoder == "chain"]
        unfit = [name for name in self.run if self.kind_of(name) != "image" or len(self.task(name).points) < 2]
        if chained and unfit:
            problem = f"chain is for several points in an image, which the task {unfit[0]!r} has not"
            raise ValueError(f"train.by_variant.{chained[0]}.decoder: {problem}")

    def _check_task_exists(self, place: str, name: str) -> None:
        if name not in self.tasks:
            meant = did_you_mean(name, self.tasks)
            raise ValueError(f"{place} is not among tasks {sorted(self.tasks)}{f'; {meant}' if meant else ''}")

    def _check_robustness(self) -> None:
        kinds = {task: PERTURBATIONS[self.kind_of(task)] for task in self.run}
        for name in self.robustness:
            if not any(name in known for known in kinds.values()):
                known = "; ".join(f"{task}: {', '.join(names)}" for task, names in kinds.items())
                raise ValueError(f"robustness: {name!r} is not done to what is run (known for {known})")
        for task in self.signal_tasks:
            if "lead_missing" in self.robustness and len(self._signals_of(task).leads) == 1:
                raise ValueError("robustness: 'lead_missing' would leave nothing of a recording of one lead")

    def _signals_of(self, task: str) -> SignalDataset:
        """What a task of signals reads."""
        return cast(SignalDataset, self.dataset_of(task))

    def _check_stored_weights(self, name: str, task: SignalTask, variant: VariantName) -> None:
        if task.weighted_at != "source_rate" or "weighted" not in self.encodings:
            return
        if self.train.of(variant).online_augmentation != OnlineAugmentation():
            unreached = "train.online_augmentation"
        elif variant in STANDARDISED:
            unreached = "standardised leads"
        else:
            return
        raise ValueError(
            f"tasks.{name}.weighted_at: source_rate stores the weighted channel, which {variant}'s {unreached} "
            "would not reach; use model_rate"
        )

    def _check_joined(self, task: str, names: Sequence[str]) -> None:
        if len(set(names)) < len(names):
            raise ValueError(f"tasks.{task}.dataset: an entry is there twice")
        problem = unlike({name: self.datasets[name] for name in names})
        if problem:
            raise ValueError(f"tasks.{task}.dataset: {problem}")
        for number, name in enumerate(names):
            # Of one folder, two tables may name different files.
            if not isinstance(self.datasets[name], FolderSection) and (
                other := self._of_the_same_files(name, names[:number])
            ):
                raise ValueError(f"tasks.{task}.dataset: {other!r} and {name!r} are the same files")

    def _of_the_same_files(self, name: str, others: Iterable[str]) -> str:
        """The first of other data sets that is read from where this one is; empty if there is none."""
        origin = _origin_of(self.datasets[name])
        return next((other for other in others if origin == _origin_of(self.datasets[other])), "")

    def _check_external(self, task: str, names: Sequence[str]) -> None:
        key, others = f"external.{task}", self.external_of(task)
        if len(set(others)) < len(others):
            raise ValueError(f"{key}: an entry is there twice")
        for other in others:
            self._check_dataset(task, other, key)
            problem = unlike({names[0]: self.datasets[names[0]], other: self.datasets[other]})
            if problem:
                raise ValueError(f"{key}: {problem}")
            if name := self._of_the_same_files(other, names):
                raise ValueError(f"{key}: {other!r} is what the networks are trained on ({name!r})")

    def _check_dataset(self, task: str, name: str, key: str) -> None:
        section = self._existing_dataset(key, name)
        if section.kind != self.kind_of(task):
            found = f"{name!r} has format {section.format!r}, for tasks of the kind {section.kind}"
            raise ValueError(f"{key}: {found}")
        points, there = self.task(task).points, ", ".join(section.points)
        absent = [point for point in points if point not in section.points]
        if absent:
            remedy = "give a data set under another name these points"
            raise ValueError(f"tasks.{task}.points: {name!r} has {there} and not {absent[0]!r}; {remedy}")
        if points[0] != section.points[0]:
            raise ValueError(f"tasks.{task}.points: must begin with {section.points[0]!r}, as {name!r} does")

    def _existing_dataset(self, key: str, name: str) -> AnyDataset:
        if name not in self.datasets:
            meant = did_you_mean(name, self.datasets)
            hint = f"; {meant}" if meant else ""
            raise ValueError(f"{key}: {name!r} is not among datasets {sorted(self.datasets)}{hint}")
        return self.datasets[name]

    def _check_signal_task(self, key: str, task: SignalTask) -> None:
        data = self._signals_of(key)
        nyquist_hz = data.rate_hz / 2
        for name in ("lowpass_hz", "highpass_hz", "wander_hz"):
            edge_hz = max(getattr(task.augmentation, name))
            if edge_hz >= nyquist_hz:
                raise ValueError(
                    f"tasks.{key}.augmentation.{name}: {edge_hz:g} Hz is not below half the sampling rate "
                    f"of {' and '.join(self.datasets_of(key))} ({nyquist_hz:g} Hz)"
                )
        if task.shift == "zero_fill" and task.augmentation.shift_s >= data.window_s / 2:
            raise ValueError(f"tasks.{key}.augmentation.shift_s: must be below half a window ({data.window_s / 2:g} s)")
        # So there is always room for the patch beside the points.
        longest_s = data.window_s / (1 + len(task.points))
        if task.augmentation.dropout_s[1] >= longest_s:
            raise ValueError(f"tasks.{key}.augmentation.dropout_s: must stay below {longest_s:g} s")
        if data.window_s * data.rate_hz / task.decimate_by < 32:
            raise ValueError(f"tasks.{key}.decimate_by: leaves fewer than 32 samples of a window")
        # What `filtfilt` adds at either end for a band-pass.
        order = task.augmentation.filter_order
        padding = 3 * (2 * order + 1)
        if data.window_s * data.rate_hz <= padding:
            problem = f"{order} needs more than {padding} samples a window"
            raise ValueError(f"tasks.{key}.augmentation.filter_order: {problem}")


def shown_arm(encodings: Sequence[str], variants: Sequence[str]) -> tuple[str, str] | None:
    """The encoding and variant whose worst predictions are drawn: the first encoding, `heatmap` before other variants.

    By name and not by result, so that no look at the test folds chooses it.

    Args:
        encodings: Of the study, in its order.
        variants: Of the study.

    Returns:
        None where no variant makes a map.
    """
    return next(((encodings[0], variant) for variant in MAP_VARIANTS if variant in variants), None)


def parse_config(values: Mapping[str, Any]) -> Config:
    """A checked study.

    Args:
        values: What the YAML files hold, merged.

    Raises:
        InputError: one line with the key's full name, the value found and what is allowed.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        problem = _misspelt_entry(error, values) or _first_problem(error)
        raise InputError("config", problem, "see the comments in config.yaml") from error


_ENTRIES = {"datasets": "no data set that exists, and has no format", "tasks": "no task that exists, and has no kind"}


def _misspelt_entry(error: ValidationError, values: Mapping[str, Any]) -> str:
    """`datasets={vfbd: {path: ...}}` makes a new data set, which has no format; empty where that is not the problem."""
    for problem in error.errors(include_url=False):
        section = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "union_tag_not_found" and section in _ENTRIES and len(problem["loc"]) == 2:
            name = str(problem["loc"][1])
            known = {*values.get(section, ()), *(PAPERS_TASKS if section == "tasks" else ())}
            meant = did_you_mean(name, sorted(known - {name}))
            return f"{section}.{name}: is {_ENTRIES[section]} for a new one; {meant}" * bool(meant)
    return ""


def load_study(default_path: Path, overlay_paths: Iterable[Path]) -> Config:
    """A study as Snakemake would see it: overlays merged deeply over the default, lists replaced.

    Args:
        default_path: `config.yaml`.
        overlay_paths: Files of `resources/studies`, or the user's.

    Raises:
        InputError: a file that is missing or no YAML mapping, or a wrong value.
    """
    found: dict[str, Any] = {}
    for path in (default_path, *overlay_paths):
        values = read_yaml(path)
        if not isinstance(values, dict):
            raise InputError(path, "is not a YAML mapping of config keys")
        found = merged(found, values)
    return parse_config(found)


def merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """An overlay laid over a study's values as Snakemake does it: mappings deeply, lists replaced."""
    result = dict(base)
    for key, value in overlay.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def write_config(path: Path, config: Config) -> None:
    """Leave a study's config in its folder as sealed JSON (`siwcc.io.checksums.sealed_json`)."""
    write_text(path, sealed_json(config.model_dump(mode="json")))


def read_config(path: Path) -> Config:
    """Read what `write_config` wrote.

    Raises:
        InputError: missing, damaged, of an older version, or no study's config.
    """
    content = unsealed_json(path, read_text(path, MAX_JSON_BYTES))
    try:
        return Config.model_validate_json(json.dumps(content))
    except ValidationError as error:
        problem = f"is not a study's config ({_first_problem(error)})"
        raise InputError(path, problem, "delete it and run again") from error


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    # A misspelt key that must be there is two problems; the misspelling says more.
    problem = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    if problem["input"] is None and problem["loc"][0] == "tasks":
        # Points that no data set gives: what is wrong with the data set is said after it.
        problem = problems[-1]
    # The discriminator is in the location, between the entry's name and its key.
    place = [
        str(part)
        for i, part in enumerate(problem["loc"])
        if not (i == 2 and part in _SECTIONS) and part not in (_ONE, _SEVERAL, _SIDE, _SHAPE)
    ]
    key = ".".join(place)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_similar_key(problem['loc'])}"
    if problem["type"] == "union_tag_not_found":
        tag, known = ("kind", TASK_OF_KIND) if place[0] == "tasks" else ("format", _SECTION_OF_FORMAT)
        return f"{key}.{tag}: is missing (allowed: {', '.join(known)})"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":
        prefix = ".".join(place)
        return message if not prefix or message.startswith(prefix) else f"{prefix}.{message}"
    found = problem.get("input")
    shown = "" if isinstance(found, Mapping) else f" (found {_shown(found)})"
    # What YAML has instead.
    message = message.replace("Tuple", "List").replace("tuple", "list")
    return f"{key}: {message}{shown}"


def _shown(value: object) -> str:
    # A few lines of YAML whose entries refer to each other unfold to more than memory holds.
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxtuple = 3, 12, 12
    short.maxstring = short.maxother = short.maxlong = 200
    return short.repr(value)


# Keys of older versions. Their new names are too different to be found by similarity.
_RENAMED = {
    "jitter": "online_augmentation",
    "made_up": "synthetic",
    "variants_per_sample": "copies_per_sample",
    "task": "kind",
}


def _similar_key(location: tuple[int | str, ...]) -> str:
    allowed = _keys_at(location[:-1])
    if str(location[-1]) in _RENAMED:
        return f", which is now {_RENAMED[str(location[-1])]!r}"
    meant = did_you_mean(str(location[-1]), allowed)
    hint = f", {meant}" if meant else ""
    return f"{hint} (allowed: {', '.join(allowed)})" if allowed else hint


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    model: type[Section] = Config
    for part in location:
        if part in _SECTIONS:
            model = _SECTIONS[str(part)]
        elif part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
            for kind in (annotation, *get_args(annotation)):
                if isinstance(kind, type) and issubclass(kind, Section):
                    model = kind
    return sorted(name for name, field in model.model_fields.items() if not field.exclude)
