"""What is in a file of a study, in a few lines: `siwcc inspect`."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siwcc.data.curves import KIND as CURVES
from siwcc.data.curves import read_curves
from siwcc.data.episodes import US_PER_H, reference_of
from siwcc.data.points import VISIBLE_FROM, output_suffixes
from siwcc.data.recordings import KIND as RECORDINGS
from siwcc.data.recordings import read_recordings
from siwcc.data.tasks.interface import TaskSpec
from siwcc.evaluation import statistics
from siwcc.evaluation.calibration_file import load_calibration
from siwcc.evaluation.logs import read_log
from siwcc.evaluation.methods import Predictions, read_predictions
from siwcc.evaluation.metrics import balanced_accuracy, r2_scores
from siwcc.evaluation.onset_settings import read_onset_settings
from siwcc.io.checksums import read_manifest, read_text, unsealed_json
from siwcc.io.errors import InputError
from siwcc.io.files import read_csv, sha256_of
from siwcc.io.run_key import NO_FOLD
from siwcc.io.shards import Shard, read_attributes, read_shard, shard_kind
from siwcc.io.tables import six_decimals
from siwcc.nn.paper_networks import count_parameters
from siwcc.training.checkpoint import read_model
from siwcc.training.rhythm_checkpoint import RhythmModel, may_be_rhythm_model, read_rhythm_model

_MOST_LISTED = 8
_KNOWN = "a samples or fold file (.h5), a model (.pt), a log, predictions or another table (.csv), a manifest (.json)"


@dataclass(frozen=True)
class Content:
    """What a file is and holds.

    Attributes:
        path: The file.
        kind: `samples`, `fold`, `recordings`, `curves`, `model`, `detector`, `log`, `predictions`, `table`, `manifest`,
            `calibration`, `onset settings` or `config`.
        facts: Name to a number, a text, or a list or dictionary of such, in the order to be shown; names carry
            units.
    """

    path: Path
    kind: str
    facts: dict[str, Any]


def inspect_file(path: Path) -> Content:
    """Read a file of ours whole, with all its checks, and say what is in it.

    Raises:
        InputError: missing, damaged, or none of the kinds that siwcc writes.
    """
    readers = {".h5": _inspect_shard, ".pt": _inspect_model, ".csv": _inspect_csv, ".json": _inspect_json}
    if not path.is_file():
        raise InputError(path, "is a folder" if path.is_dir() else "does not exist", f"give {_KNOWN}")
    if path.suffix not in readers:
        raise InputError(path, "is no file of siwcc", f"give {_KNOWN}")
    kind, facts = readers[path.suffix](path)
    return Content(path, kind, {"bytes": path.stat().st_size, **facts})


# ------------------------------------------------------------------- shards


def _inspect_shard(path: Path) -> tuple[str, dict[str, Any]]:
    kind = shard_kind(path)
    if kind == RECORDINGS:
        return kind, _recordings_facts(path)
    if kind == CURVES:
        return kind, _curves_facts(path)
    describe: Callable[[Shard], dict[str, Any]] = {"samples": _samples_facts, "fold": _fold_facts}[kind]
    named = ("target", "sample_id", "group", "class", *(("copy", "event_visible") if kind == "fold" else ()))
    return kind, describe(read_shard(path, kind, (*named, *_of_several_points(read_attributes(path, kind)))))


def _of_several_points(attributes: Mapping[str, Any]) -> list[str]:
    """Arrays that a shard has besides because of further points."""
    if "spec" in attributes:
        return ["visible"] if len(TaskSpec.from_json(attributes["spec"]).points) > 1 else []
    return [
        "end_sample" if point == "end" else point for point in json.loads(attributes["protocol"]).get("points", [])[1:]
    ]


def _samples_facts(shard: Shard) -> dict[str, Any]:
    attributes, arrays = shard.attributes, shard.arrays
    protocol = json.loads(attributes["protocol"])
    units = json.loads(attributes["units"])
    named = ("rate_hz", "image_size", "volume_shape")
    sampling: dict[str, Any] = {name: attributes[name] for name in named if name in attributes}
    return {
        "dataset": attributes["dataset"],
        "format": attributes["format"],
        "task": attributes["task"],
        "samples": len(arrays["target"]),
        "groups": len(set(arrays["group"])),
        "classes": _counts(arrays["class"]),
        "signal_unit": units["signal"],
        **sampling,
        **_target_facts(arrays["target"], units["target"], output_suffixes([""], arrays["target"].shape[1])),
        **_further_facts(arrays, units["target"]),
        "protocol": {name: value for name, value in protocol.items() if value is not None},
        "digest": shard.digest,
    }


def _fold_facts(shard: Shard) -> dict[str, Any]:
    attributes, arrays = shard.attributes, shard.arrays
    spec = TaskSpec.from_json(attributes["spec"])
    augmented = arrays["copy"] > 0
    return {
        "dataset": attributes["dataset"],
        "task": spec.task,
        "samples": len(set(arrays["sample_id"])),
        "groups": len(set(arrays["group"])),
        "classes": _counts(arrays["class"][arrays["copy"] == 0]),
        "rows": len(augmented),
        "augmented_rows": int(augmented.sum()),
        "augmented_rows_without_the_event": int((arrays["event_visible"][augmented] == 0).sum()),
        **_hidden_facts(arrays, augmented, spec),
        "shape": [spec.channels, *spec.shape],
        **_target_facts(arrays["target"], spec.unit, spec.outputs),
        "protocol": json.loads(attributes["protocol"]),
        "digest": shard.digest,
    }


def _recordings_facts(path: Path) -> dict[str, Any]:
    (dataset, records), *_ = read_recordings([path]).items()
    references = [reference_of(record) for record in records]
    annotated = [record.beats for record in records if record.beats is not None]
    return {
        "dataset": dataset,
        "records": len(records),
        "groups": len({record.group for record in records}),
        "hours": six_decimals(sum(record.duration_s for record in records) / 3600),
        "leads": len(records[0].signal_mv),
        "rate_hz": records[0].rate_hz,
        "rhythm_changes": _counts(np.array([label for record in records for label in record.labels], dtype=object)),
        "event_labels": list(records[0].event_labels),
        "beats": sum(len(beats.sample) for beats in annotated),
        "ventricular_beats": sum(int(beats.ventricular.sum()) for beats in annotated),
        "onsets": sum(len(reference.onsets("episodes")) for reference in references),
        "malignant_hours": six_decimals(sum(reference.malignant_us for reference in references) / US_PER_H),
    }


def _curves_facts(path: Path) -> dict[str, Any]:
    curves = read_curves(path)
    values = np.concatenate(list(curves.by_record.values()))
    return {
        "records": len(curves.by_record),
        "step_s": curves.step_s,
        "hours": six_decimals(len(values) * curves.step_s / 3600),
        "mean_probability": six_decimals(float(values.mean())),
    }


def _counts(labels: np.ndarray) -> dict[str, int]:
    return dict(sorted(Counter(map(str, labels)).items(), key=lambda item: (-item[1], item[0])))


def _target_facts(target: np.ndarray, unit: str, suffixes: Sequence[str]) -> dict[str, Any]:
    """Of the targets that are visible."""
    known = {suffix: column[~np.isnan(column)] for suffix, column in zip(suffixes, target.T, strict=True)}
    return {
        f"target{suffix}_{unit}": {
            "lowest": six_decimals(float(column.min())),
            "median": six_decimals(float(np.median(column))),
            "highest": six_decimals(float(column.max())),
        }
        for suffix, column in known.items()
        if len(column)
    }


def _further_facts(arrays: Mapping[str, np.ndarray], unit: str) -> dict[str, Any]:
    """Of a samples file's further points."""
    facts: dict[str, Any] = {}
    if "end_sample" in arrays:
        facts["samples_without_an_end"] = int((arrays["end_sample"] < 0).sum())
    if "cytoplasm" in arrays:
        facts |= _target_facts(arrays["cytoplasm"], unit, ("_cytoplasm_x", "_cytoplasm_y"))
    return facts


def _hidden_facts(arrays: Mapping[str, np.ndarray], rows: np.ndarray, spec: TaskSpec) -> dict[str, Any]:
    """In how many of the rows each of several points is not visible."""
    if "visible" not in arrays:
        return {}
    hidden = (arrays["visible"][rows] == 0).sum(axis=0).tolist()
    return {"augmented_rows_without": dict(zip(spec.points, hidden, strict=True))}


# ------------------------------------------------------------------- models


def _inspect_model(path: Path) -> tuple[str, dict[str, Any]]:
    if may_be_rhythm_model(path):
        return "detector", _detector_facts(read_rhythm_model(path))
    model = read_model(path)
    metadata, spec = model.metadata, model.spec
    seen = list(metadata.training_groups)
    trained = {name: value for name, value in metadata.train.items() if name not in ("device", "threads", "compile")}
    facts = {
        "task": spec.task,
        "network": f"{spec.network}, {model.key.variant}",
        "encoding": model.key.encoding,
        "test_fold": "none, trained on every fold" if model.key.fold == NO_FOLD else model.key.fold,
        "seed": model.key.seed,
        "parameters": count_parameters(model.network),
        "input_shape": [metadata.signal_channels, *spec.shape],
        f"extent_{spec.unit}": list(spec.extent),
        "outputs": [f"prediction{suffix}_{spec.unit}" for suffix in spec.outputs],
        f"largest_prediction_{spec.unit}": spec.output_scale,
        "dataset": metadata.dataset,
        "training_groups": {"number": len(seen), "names": _some(seen)},
        "dataset_protocol": {name: value for name, value in metadata.dataset_protocol.items() if value is not None},
        "task_protocol": metadata.task_protocol,
        "train": trained,
        "versions": dict(metadata.versions),
        "weights_sha256": metadata.weights_sha256,
    }
    return "model", facts


def _detector_facts(model: RhythmModel) -> dict[str, Any]:
    metadata = model.metadata
    return {
        "finds": list(metadata.event_labels),
        "test_fold": "none, trained on every fold" if metadata.fold == NO_FOLD else metadata.fold,
        "seed": metadata.seed,
        "parameters": count_parameters(model.network),
        "leads": len(metadata.leads),
        "step_s": model.recipe.step_s,
        "datasets": sorted(metadata.datasets),
        "training_groups": {
            "number": len(metadata.training_groups),
            "names": _some(list(metadata.training_groups)),
        },
        "training": metadata.recipe,
        "versions": dict(metadata.versions),
        "weights_sha256": metadata.weights_sha256,
    }


def _some(names: Sequence[str]) -> list[str]:
    """The first few names; what is left out is counted."""
    left = len(names) - _MOST_LISTED
    return list(names) if left <= 1 else [*names[:_MOST_LISTED], f"and {left} more"]


# ------------------------------------------------------------------- tables


def _inspect_csv(path: Path) -> tuple[str, dict[str, Any]]:
    header = read_text(path).split("\n", 1)[0].strip().split(",")
    scores = [name for name in header if name.startswith(("train_r2", "test_r2"))]
    if header[0] == "epoch" and scores:
        return "log", _log_facts(path, tested=any(name.startswith("test_r2") for name in scores))
    if header[:2] == ["sample_id", "copy"]:
        return "predictions", _prediction_facts(path)
    rows = read_csv(path, ())
    return "table", {"rows": len(rows), "columns": header, "sha256": sha256_of(path)}


def _log_facts(path: Path, tested: bool) -> dict[str, Any]:
    if not tested:
        rows = read_csv(path, ("epoch",))
        scores = [name for name in rows[-1] if name.startswith("train_r2")] if rows else []
        last = {name: _last_score(path, name, rows[-1][name]) for name in scores}
        return {"epochs": len(rows), "test_fold": "none, trained on every fold", "at_the_end": last}
    log = read_log(path, foreign=True)
    best = int(np.argmax(np.where(np.isnan(log.test_r2), -np.inf, log.test_r2)))
    return {
        "epochs": len(log.epochs),
        "outputs": log.outputs,
        "train_r2_at_the_end": six_decimals(float(log.train_r2[-1])),
        "test_r2_at_the_end": six_decimals(float(log.test_r2[-1])),
        "test_r2_highest": {"epoch": int(log.epochs[best]), "test_r2": six_decimals(float(log.test_r2[best]))},
        "instability": six_decimals(statistics.instability(log.epochs, log.test_r2).value),
        "sha256": sha256_of(path),
    }


def _last_score(path: Path, name: str, cell: str) -> float | None:
    try:
        return six_decimals(float(cell) if cell.strip() else math.nan)
    except ValueError as error:
        raise InputError(path, f"{name} is {cell!r} in the last epoch, not a number") from error


def _prediction_facts(path: Path) -> dict[str, Any]:
    predictions = read_predictions(path)
    augmented = predictions.copy > 0
    parts = {"augmented": augmented, "samples_themselves": ~augmented}
    return {
        "rows": len(augmented),
        "samples": len(set(predictions.sample_id)),
        "outputs": predictions.target.shape[1],
        **{
            " of ".join(filter(None, [name, point])): _error_facts(predictions.of_point(point).select(rows))
            for point in predictions.points
            for name, rows in parts.items()
            if rows.any()
        },
        "sha256": sha256_of(path),
    }


def _error_facts(predictions: Predictions) -> dict[str, Any]:
    """In the target's unit, which the file does not say."""
    visible = predictions.visible()
    error = predictions.error()[visible]
    hidden: dict[str, Any] = {} if visible.all() else {"rows_without_the_point": len(visible) - len(error)}
    if not len(error):
        return hidden
    if predictions.visibility is not None:
        accuracy = balanced_accuracy(visible, predictions.visibility[:, 0] >= VISIBLE_FROM)
        hidden["visible_or_not_balanced_accuracy"] = six_decimals(accuracy)
    return {
        "rows": len(error),
        **hidden,
        "r2": [six_decimals(score) for score in r2_scores(predictions.target, predictions.prediction)],
        "median_error": six_decimals(float(np.median(error))),
        "error_of_90_percent": six_decimals(float(np.quantile(error, 0.9))),
    }


def _inspect_json(path: Path) -> tuple[str, dict[str, Any]]:
    content = unsealed_json(path, read_text(path))
    if "probability" in content:
        return "calibration", load_calibration(path).model_dump(mode="json")
    if "curve_map" in content:
        return "onset settings", read_onset_settings(path).model_dump(mode="json")
    if "outputs" not in content:
        return "config", content
    manifest = read_manifest(path)
    states = {name: _state(path.with_name(name), digest) for name, digest in manifest["outputs"].items()}
    return "manifest", {**manifest, "outputs": states}


def _state(path: Path, digest: str) -> str:
    if not path.is_file():
        return "missing"
    return "as written" if sha256_of(path) == digest else "not what was written"


# ------------------------------------------------------------------ showing


def format_contents(contents: Sequence[Content]) -> str:
    """For the eye: a heading a file, an indented line a fact."""
    text = io.StringIO()
    for number, content in enumerate(contents):
        text.write(f"{chr(10) if number else ''}{content.path}: {content.kind}\n")
        _write_facts(text, content.facts, "  ")
    return text.getvalue()


def _write_facts(text: io.StringIO, facts: Mapping[str, Any], indent: str) -> None:
    width = max((len(name) for name, value in facts.items() if not _is_nested(value)), default=0)
    for name, value in facts.items():
        if _is_nested(value):
            text.write(f"{indent}{name}\n")
            _write_facts(text, value, indent + "  ")
        else:
            text.write(f"{indent}{name:<{width}}  {_shown(value)}\n")


def _is_nested(value: Any) -> bool:
    return (
        isinstance(value, dict) and bool(value) and (len(value) > 3 or any(_is_nested(part) for part in value.values()))
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "-"
    return "-" if value is None else str(value)


def contents_json(contents: Sequence[Content]) -> str:
    """For programs: one list, an object a file."""
    return json.dumps([{"file": str(one.path), "kind": one.kind, **one.facts} for one in contents], indent=1) + "\n"
