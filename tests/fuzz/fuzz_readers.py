"""Every reader of the package, with the file of the corpus that is damaged under it.

A file of ours must read as before or be refused. A foreign one must give a result that makes sense, or be refused.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from fuzz_corpus import INTERRUPTED, SETTINGS, TRAINED, config_of, open_part, run_files

from siwcc.config import load_study, parse_dataset, read_config
from siwcc.data.augment.interface import augment_module
from siwcc.data.datasets.archives import extract_archive
from siwcc.data.datasets.download import read_checksums
from siwcc.data.datasets.interface import Excluded, reader_for
from siwcc.data.folds import make_fold, read_folds_csv, read_strata_csv, write_folds
from siwcc.data.samples import extract_samples, read_excluded
from siwcc.evaluation.calibration_file import load_calibration
from siwcc.evaluation.comparisons import compare_logs, read_published, read_rows
from siwcc.evaluation.logs import read_log
from siwcc.evaluation.methods import read_methods, read_predictions, read_strata
from siwcc.evaluation.robustness_table import read_robustness
from siwcc.inference.inputs import read_image, read_signal_file
from siwcc.io.checksums import read_manifest
from siwcc.io.files import read_csv, read_yaml
from siwcc.io.shards import read_shard
from siwcc.report.costs import read_benchmark
from siwcc.report.deviations import read_deviations
from siwcc.training.checkpoint import read_model
from siwcc.training.run import train_run


@dataclass(frozen=True)
class Reader:
    """How a file is read.

    Attributes:
        files: Below the corpus; a case damages one of them.
        read: From the corpus and the file to anything that `fingerprint` takes.
        siblings: Further files that a case may put in its place, beside any of the corpus.
        foreign: The file is not ours: another result is right if `read` finds it sensible.
    """

    files: str
    read: Callable[[Path, Path], Any]
    siblings: str = ""
    foreign: bool = False


def fingerprint(value: Any) -> str:
    """SHA-256 over everything in a value."""
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part + b"\0")
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        for key in value:
            yield repr(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, list | tuple | np.ndarray):
        for item in value:
            yield from _parts(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _parts({name: getattr(value, name) for name in value.__dataclass_fields__ if name != "path"})
    else:
        yield repr(value).encode()


# ---------------------------------------------------------------------- ours


def _inputs(task: str) -> Callable[[Path, Path], Any]:
    def read(root: Path, path: Path) -> Any:
        study = open_part(root, task)
        inputs = augment_module(study.config.kind_of(task)).open_inputs(
            study.fold_paths(task), study.samples_path(task), False
        )
        rows = np.arange(0, len(inputs.target), 5)
        return [inputs.batch(rows, "weighted"), inputs.target, inputs.sample_id, inputs.group, asdict(inputs.spec)]

    return read


def _folds_of_samples(root: Path, path: Path) -> Any:
    study, out = open_part(root, "ecg"), root / "remade" / "ecg"
    section, config = study.config.dataset_of("ecg"), study.config
    try:
        write_folds(path, section, 2, "sample", config.seed, "kfold", out / "folds.csv", out / "strata.csv")
        make_fold(path, out / "folds.csv", 1, config.task("ecg"), section, config.seed, out / "fold1.h5")
        return [file.read_bytes() for file in sorted(out.iterdir())]
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _predictions(root: Path, path: Path) -> Any:
    study = open_part(root, "ecg")
    strata = {"ecg": read_strata(study.folder / "ecg" / "strata.csv")}
    baselines = sorted(study.folder.glob("ecg/baselines/*/predictions.csv"))
    return list(read_methods(study.existing("ecg", "predictions.csv"), baselines, strata))


def _model(root: Path, path: Path) -> Any:
    model = read_model(path)
    return [model.key, model.spec, model.metadata.model_dump(), dict(model.network.state_dict())]


def _resumed(root: Path, path: Path) -> Any:
    """The results of going on from a state; the folder is left empty."""
    study, files = open_part(root, "ecg"), run_files(root, INTERRUPTED)
    try:
        train_run(INTERRUPTED, study.fold_paths("ecg"), study.samples_path("ecg"), SETTINGS, files)
        return {name.name: name.read_bytes() for name in sorted(files.log.parent.iterdir())}
    finally:
        for file in files.log.parent.iterdir():
            file.unlink()


def _excluded(root: Path, path: Path) -> Any:
    return read_excluded(read_shard(path.with_name("synthetic.h5"), "samples", ()))


def _run_under_manifest(root: Path, path: Path) -> Any:
    log, predictions = (path.with_name(f"{name}.csv") for name in ("log", "predictions"))
    return [read_manifest(path), read_log(log), read_predictions(predictions)]


def _extracted(task: str) -> Callable[[Path, Path], Any]:
    def read(root: Path, path: Path) -> Any:
        data, out = root / task / "data", root / "extracted"
        section = parse_dataset(config_of(task).dataset_of(task).model_dump())
        outputs = [out / name for name in ("s.h5", "s.excluded.csv", "s.protocol.json")]
        try:
            extract_samples("synthetic", section, data / "raw", data / "raw" / "synthetic.manifest.csv", *outputs)
            return [output.read_bytes() for output in outputs]
        finally:
            shutil.rmtree(out, ignore_errors=True)

    return read


def _table(*columns: str) -> Callable[[Path, Path], Any]:
    return lambda root, path: read_csv(path, columns)


# ------------------------------------------------------------------- foreign


def _raw_set(format_name: str, folder: str, **section: Any) -> Callable[[Path, Path], Any]:
    def read(root: Path, path: Path) -> Any:
        reader, checked = reader_for(format_name), parse_dataset({"format": format_name, **section})
        reader.raw_files(checked, root / folder)
        samples = list(reader.iter_samples(checked, root / folder))
        ids = [item.sample_id for item in samples]
        assert ids == sorted(ids)
        assert len(set(ids)) == len(ids)
        for item in samples:
            if not isinstance(item, Excluded):
                assert np.isfinite(item.signal).all()
                assert np.isfinite(item.target).all()
                assert (item.target >= 0).all()
        return [(item.sample_id, getattr(item, "reason", None)) for item in samples]

    return read


def _own_set(root: Path, path: Path) -> Any:
    own = "own_signals" if (root / "own_signals") in path.parents else "own_images"
    given = {"csv_rate_hz": 250} if own == "own_signals" else {"image_size": 64}
    kind = "signal" if own == "own_signals" else "image"
    return _raw_set("folder", own, kind=kind, path=own, **given)(root, path)


def _image(root: Path, path: Path) -> Any:
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    return image


def _images(extension: str) -> Reader:
    return Reader(f"foreign_images/{extension}/*", _image, "foreign_images/*/*", foreign=True)


def _spreadsheet(root: Path, path: Path) -> Any:
    given = {"csv_rate_hz": 250, "window_s": 1, "leads": [1, 2]}
    return _raw_set("folder", "spreadsheet", kind="signal", path="spreadsheet", **given)(root, path)


def _recording(root: Path, path: Path) -> Any:
    """A file as `siwcc predict` reads it, without a rate; of a record any of its files may be damaged."""
    record = path if path.suffix in (".csv", ".tsv", ".edf") else path.with_suffix("")
    name = {"layout": "d", "d1": "d"}.get(record.name, record.name)
    read = read_signal_file(record.with_name(name), (0, 1), [0], None if path.suffix in (".csv", ".tsv") else 250.0)
    assert read.signal_mv.ndim == 2
    assert read.signal_mv.shape[1] > 0
    assert not np.isinf(read.signal_mv).any()
    assert 0 < read.rate_hz < 1e9
    return [read.signal_mv, read.rate_hz, read.available, read.lead_names]


def _archive(root: Path, path: Path) -> Any:
    target = root / "unpacked" / "im_Parabasal"
    target.parent.mkdir(exist_ok=True)
    try:
        count = extract_archive(path, target, lambda member: PurePosixPath(member.name), 1 << 28)
        assert count == sum(file.is_file() for file in target.rglob("*"))
        return sorted(file.name for file in target.rglob("*"))
    finally:
        shutil.rmtree(target.parent)


def _foreign_logs(root: Path, path: Path) -> Any:
    rows = compare_logs([path, path], [path, path])
    assert len(rows) == 3
    assert all(row.mean_difference == 0 or math.isnan(row.mean_difference) for row in rows)
    return [row.mean_difference for row in rows]


def _overlay(root: Path, path: Path) -> Any:
    return load_study(root / "texts" / "config.yaml", [path]).model_dump()


def _deviations(root: Path, path: Path) -> Any:
    return read_deviations(path, config_of("ecg").model_dump(mode="json"))


def _sums(root: Path, path: Path) -> Any:
    sums = read_checksums(path)
    assert all(len(value) == 64 for value in sums.values())
    return sums


READERS: dict[str, Reader] = {
    "samples, signals (HDF5)": Reader("ecg/data/samples/*.h5", _folds_of_samples, "*/*/*/*.h5"),
    "samples, images (HDF5)": Reader("nuclei/data/samples/*.h5", _inputs("nuclei"), "*/data/samples/*.h5"),
    "fold, signals (HDF5)": Reader("ecg/results/*/ecg/fold*.h5", _inputs("ecg"), "*/results/*/*/fold*.h5"),
    "fold, images (HDF5)": Reader("nuclei/results/*/nuclei/fold*.h5", _inputs("nuclei"), "*/results/*/*/fold*.h5"),
    "folds.csv": Reader("*/results/*/*/folds.csv", lambda _, p: read_folds_csv(p), "*/results/*/*/folds.csv"),
    "strata.csv": Reader("*/results/*/*/strata.csv", lambda _, p: read_strata_csv(p), "*/results/*/*/*.csv"),
    "log.csv": Reader("ecg/results/*/ecg/*/full/*/*/log.csv", lambda _, p: read_log(p), "*/results/**/log.csv"),
    "predictions.csv of runs": Reader(
        "ecg/results/*/ecg/*/full/*/*/predictions.csv", _predictions, "*/results/**/predictions.csv"
    ),
    "predictions.csv of baselines": Reader(
        "ecg/results/*/ecg/baselines/*/predictions.csv", _predictions, "*/results/**/predictions.csv"
    ),
    "manifest.json": Reader(
        "ecg/results/*/ecg/*/full/*/*/manifest.json",
        _run_under_manifest,
        "*/results/**/manifest.json",
    ),
    "model.pt": Reader(f"runs/*/*/*/fold{TRAINED.fold}/*/model.pt", _model, "runs/**/*.pt"),
    ".state.pt": Reader("runs/**/.state.pt", _resumed, "runs/**/model.pt"),
    "comparisons.csv": Reader(
        "*/results/*/stats/comparisons.csv", lambda _, p: read_rows(p), "*/results/*/stats/*.csv"
    ),
    "errors.csv": Reader("*/results/*/stats/errors.csv", _table("task", "method"), "*/results/*/stats/*.csv"),
    "records.csv": Reader("*/results/*/stats/records.csv", _table("task"), "*/results/*/stats/*.csv"),
    "calibration.json": Reader(
        "measured/ecg/calibration.json", lambda _, p: load_calibration(p).model_dump(mode="json"), "**/config.json"
    ),
    "robustness.csv": Reader(
        "measured/*/robustness.csv", lambda _, p: [asdict(line) for line in read_robustness([p])], "*/results/**/*.csv"
    ),
    # Not in its place: the config of another study, which is as valid.
    "config.json": Reader("*/results/*/config.json", lambda _, p: read_config(p).model_dump(), "**/[!c]*.json"),
    "excluded.csv": Reader("*/data/samples/*.excluded.csv", _excluded, "*/data/samples/*.csv"),
    "raw manifest.csv": Reader("ecg/data/raw/*.csv", _extracted("ecg"), "*/data/raw/*.csv"),
    "raw signals under a manifest": Reader("ecg/data/raw/synthetic/*.*", _extracted("ecg"), "wfdb/*.*"),
    "raw images under a manifest": Reader("nuclei/data/raw/synthetic/*/*/*", _extracted("nuclei"), "sipakmed/*/*/*"),
    "WFDB header": Reader("wfdb/*.hea", _raw_set("vfdb", "wfdb"), "wfdb/*", foreign=True),
    "WFDB signal": Reader("wfdb/*.dat", _raw_set("vfdb", "wfdb"), "wfdb/*", foreign=True),
    "WFDB annotation": Reader("wfdb/*.atr", _raw_set("vfdb", "wfdb"), "wfdb/*", foreign=True),
    "image (BMP)": Reader("sipakmed/*/*/*.bmp", _raw_set("sipakmed", "sipakmed"), "herlev/*/*", foreign=True),
    "contour (.dat)": Reader(
        "sipakmed/*/*/*_nuc.dat", _raw_set("sipakmed", "sipakmed"), "sipakmed/*/*/*", foreign=True
    ),
    "mask (BMP)": Reader("herlev/*/*-d.bmp", _raw_set("herlev", "herlev"), "herlev/*/*", foreign=True),
    "table of a folder": Reader("own_*/samples.csv", _own_set, "own_*/samples.csv", foreign=True),
    "recording (CSV)": Reader("own_signals/records/*.csv", _own_set, "own_*/samples.csv", foreign=True),
    "table of a spreadsheet": Reader("spreadsheet/samples.csv", _spreadsheet, "own_*/samples.csv", foreign=True),
    "recording of a spreadsheet": Reader("spreadsheet/g*.csv", _spreadsheet, "spreadsheet/*", foreign=True),
    "recording with times": Reader("spreadsheet/[pt]*.?sv", _recording, "spreadsheet/*", foreign=True),
    "published WFDB header": Reader("published/*.hea", _recording, "published/*.hea", foreign=True),
    "published WFDB signal": Reader("published/*.[dm]at", _recording, "published/*", foreign=True),
    "published EDF": Reader("published/*.edf", _recording, "published/*", foreign=True),
    "image (PNG, TIFF, JPEG)": Reader("own_images/images/*", _own_set, "own_images/images/*", foreign=True),
    "foreign image (TIFF)": _images("tif"),
    "foreign image (PNG)": _images("png"),
    "foreign image (JPEG)": _images("jpg"),
    "foreign image (BMP)": _images("bmp"),
    "archive (7z)": Reader("archive/*.7z", _archive, foreign=True),
    "foreign log.csv": Reader("foreign/log.csv", _foreign_logs, "*/results/**/*.csv", foreign=True),
    "study.yaml": Reader("texts/overlay.yaml", _overlay, "texts/*", foreign=True),
    "any YAML": Reader("texts/config.yaml", lambda _, p: read_yaml(p) and None, "texts/*", foreign=True),
    "deviations.yaml": Reader("texts/deviations.yaml", _deviations, "texts/*", foreign=True),
    "table3.csv": Reader("texts/table3.csv", lambda _, p: read_published(p), "texts/*", foreign=True),
    "checksums": Reader("texts/vfdb.sha256", _sums, "texts/*", foreign=True),
    "benchmark.tsv": Reader(
        "ecg/results/*/benchmarks/*/*.tsv", lambda _, p: read_benchmark(p), "texts/*", foreign=True
    ),
}
