"""A small finished study and raw sets of every format, as the fuzz tests damage them one file at a time."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import foreign_images
import py7zr
import yaml
from made_study import made_config, write_study

from siwcc.config import Config, Train
from siwcc.data.datasets.synthetic.write import write_synthetic
from siwcc.evaluation.comparisons import write_comparisons
from siwcc.evaluation.errors_table import measure_study, write_errors
from siwcc.evaluation.record_tests import compare_records, write_records
from siwcc.evaluation.robustness_table import Robustness, write_robustness
from siwcc.io.files import write_text
from siwcc.io.run_key import RunKey, run_place
from siwcc.report.study import Study
from siwcc.training import run as training
from siwcc.training.run import RunFiles, train_run

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = Train(epochs=2, batch_size=16, device="cpu")
TRAINED = RunKey("ecg", "weighted", "pooled", 1, 42)
INTERRUPTED = RunKey("ecg", "coord", "pooled", 1, 42)
TASKS = ("ecg", "nuclei")


class _StopError(Exception):
    pass


def config_of(task: str) -> Config:
    return made_config(task, study=f"made_{task}")


def open_part(root: Path, task: str) -> Study:
    config = config_of(task)
    return Study(root / task / "results" / config.study, root / task / "data", config)


def run_files(root: Path, key: RunKey) -> RunFiles:
    folder = root / "runs" / run_place(key)
    return RunFiles.in_folder(folder)


def build(root: Path) -> None:
    """Write everything below `root`."""
    for task in TASKS:
        study = write_study(root / task, config_of(task))
        _write_statistics(study)
    _train(root)
    write_synthetic("signal", root / "wfdb", 2, 3)
    write_synthetic("image", root / "sipakmed", 6, 3)
    _write_herlev(root)
    _write_own(root)
    _write_spreadsheet(root)
    _write_published(root)
    _write_archive(root)
    _write_measured(root)
    (root / "foreign").mkdir()
    shutil.copy2(run_files(root, TRAINED).log, root / "foreign" / "log.csv")
    _write_texts(root)
    _write_images(root)


def _write_statistics(study: Study) -> None:
    task, stats = study.config.run[0], study.folder / "stats"
    logs, runs = (study.existing(task, name) for name in ("log.csv", "predictions.csv"))
    folds, strata = ([study.folder / task / name] for name in ("folds.csv", "strata.csv"))
    baselines = sorted(study.folder.glob(f"{task}/baselines/*/predictions.csv"))
    limits = {task: study.limits(task)}
    pairs = study.config.comparisons
    published = REPOSITORY / "resources" / "table3.csv"
    write_comparisons(logs, folds, pairs, published, [task], stats / "comparisons.csv", stats / "table3.txt")
    write_errors(stats / "errors.csv", measure_study(runs, baselines, strata, limits).overall)
    write_records(stats / "records.csv", compare_records(runs, baselines, strata, pairs, limits).tests)


def _train(root: Path) -> None:
    study = open_part(root, "ecg")
    arguments = (study.fold_paths("ecg"), study.samples_path("ecg"), SETTINGS)
    for key in (TRAINED, TRAINED._replace(fold=2)):
        train_run(key, *arguments, run_files(root, key))
    save, training._write_results = training._write_results, _stop
    try:
        train_run(INTERRUPTED, *arguments, run_files(root, INTERRUPTED))
    except _StopError:
        pass
    finally:
        training._write_results = save


def _stop(*arguments: object) -> None:
    raise _StopError


def _write_measured(root: Path) -> None:
    """What is measured of networks with a map: of shipped ones, and as lines that say nothing."""
    for task in TASKS:
        (root / "measured" / task).mkdir(parents=True)
        shutil.copy2(REPOSITORY / "models" / task / "calibration.json", root / "measured" / task)
        values: dict[str, Any] = {"int": 1, "float": 0.5, "str": task}
        lines = [Robustness(**{field.name: values[str(field.type)] for field in fields(Robustness)})]
        write_robustness(root / "measured" / task / "robustness.csv", lines)


def _write_herlev(root: Path) -> None:
    import cv2
    import numpy as np

    draw = np.random.default_rng(5)
    for name in ("1-1-001", "1-1-002"):
        folder = root / "herlev" / "superficiel"
        folder.mkdir(parents=True, exist_ok=True)
        mask = np.full((40, 50, 3), (0, 0, 255), dtype=np.uint8)
        mask[10:20, 12:30] = (255, 0, 0)
        cv2.imwrite(str(folder / f"{name}.BMP"), draw.integers(0, 255, (40, 50, 3), dtype=np.uint8))
        cv2.imwrite(str(folder / f"{name}-d.bmp"), mask)


def _write_own(root: Path) -> None:
    import cv2

    write_synthetic("image", root / "own_images", 3, 3, "folder")
    table = root / "own_images" / "samples.csv"
    for path, extension in zip(sorted((root / "own_images" / "images").iterdir())[:2], (".tif", ".jpg"), strict=True):
        cv2.imwrite(str(path.with_suffix(extension)), cv2.imread(str(path)))
        table.write_text(table.read_text().replace(path.name, path.with_suffix(extension).name))
        path.unlink()
    write_synthetic("signal", root / "own_signals", 1, 3, "folder")
    signal = root / "own_signals" / "records" / "demo01.csv"
    signal.write_text("".join(signal.read_text().splitlines(keepends=True)[:12_000]))


def _write_images(root: Path) -> None:
    """Files of every kind that can be read, in a folder per format."""
    for number, (name, file) in enumerate(foreign_images.readable().items()):
        folder = root / "foreign_images" / Path(name).suffix[1:]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}{Path(name).suffix}").write_bytes(file.content)


def _write_spreadsheet(root: Path) -> None:
    """A table and recordings as spreadsheets and sensors save them."""
    import numpy as np

    folder = root / "spreadsheet"
    folder.mkdir()
    lead_mv = np.round(np.random.default_rng(6).normal(0, 0.3, (3000, 2)), 3)
    semicolons = "".join(f"{a};{b}\r\n".replace(".", ",") for a, b in lead_mv)
    (folder / "größe.csv").write_bytes(f"I [mV];II [mV]\r\n{semicolons}".encode("cp1252"))
    stamps = [f"2023-01-29T23:59:{54 + ms // 1000:02d}.{ms % 1000:03d}" for ms in range(0, 6000, 4)]
    timed = "".join(f"{stamp}\t{a}\t{b}\n" for stamp, (a, b) in zip(stamps, lead_mv, strict=False))
    (folder / "timed.tsv").write_text(f"time\tI\tII\n\tmV\tuV\n{timed}", encoding="utf-16")
    packets = "".join(f"{1675000000000 + 292 * (k // 73)},{a},{b}\n" for k, (a, b) in enumerate(lead_mv))
    (folder / "packets.csv").write_text(f"# sensor 5\ntimestamp_ms,I,II\n{packets}")
    rows = ["größe.csv;5,5;Müller", "timed.tsv;2,25;Müller", "", ".\\packets.csv;4,004;b", ";;"]
    text = "\r\n".join(["file; time_s ;group", *rows])
    (folder / "samples.csv").write_bytes(text.encode("cp1252"))


def _write_published(root: Path) -> None:
    """WFDB records with headers as they are published: dates, folders, units, several rates, segments, FLAC."""
    import numpy as np
    import wfdb

    folder = root / "published"
    folder.mkdir()
    digital = np.random.default_rng(7).integers(-900, 900, (3000, 2))
    (folder / "a.mat").write_bytes(b"\0" * 24 + digital[:, 0].astype("<i2").tobytes())
    (folder / "a.hea").write_text(
        "set/a.mat 1 250 3000 2014-05-08 05:05:15\na.mat 16+24 1/µV 16 0 0 0 0 II\n", "latin-1"
    )
    (folder / "b.dat").write_bytes(np.column_stack([digital, digital]).astype("<i2").tobytes())
    (folder / "b.hea").write_text("b 2 250\nb.dat 16x3:2 1000/mV\nb.dat 16 1/bpm 16 0 0 0 0 HR\n")
    kinds = {"units": ["mV"] * 2, "sig_name": ["I", "II"], "adc_gain": [1000.0] * 2, "baseline": [0] * 2}
    for name, code in (("c", "516"), ("d1", "212")):
        wfdb.wrsamp(name, 250, d_signal=digital, fmt=[code] * 2, write_dir=str(folder), **kinds)
    fields = [("", 80), ("", 80), ("01.01.20", 8), ("00.00.00", 8), ("512", 8), ("", 44), ("3", 8), ("4", 8), ("1", 4)]
    fields += [("II", 16), ("", 80), ("uV", 8), ("-1000", 8), ("1000", 8), ("-2000", 8), ("2000", 8), ("", 80)]
    head = "".join(text.ljust(size) for text, size in [("0", 8), *fields, ("1000", 8), ("", 32)])
    (folder / "e.edf").write_bytes(head.encode("ascii") + digital[:, 0].astype("<i2").tobytes())
    (folder / "d.hea").write_text("d/4 2 250 6100\nlayout 0\nd1 3000\n~ 100\nd1 3000\n")
    (folder / "layout.hea").write_text("layout 2 250 0\n~ 0 1000/mV 16 0 0 0 0 II\n~ 0 1000/mV 16 0 0 0 0 I\n")


def _write_archive(root: Path) -> None:
    (root / "archive").mkdir()
    with py7zr.SevenZipFile(root / "archive" / "im_Parabasal.7z", "w") as archive:
        for path in sorted((root / "sipakmed").rglob("*_01*"))[:4]:
            archive.write(path, f"im_Parabasal/CROPPED/{path.parents[1].name}_{path.name}")


def _write_texts(root: Path) -> None:
    texts = root / "texts"
    overlay = yaml.safe_load((REPOSITORY / "resources" / "studies" / "tiny.yaml").read_text())
    write_text(texts / "overlay.yaml", yaml.safe_dump(overlay))
    for name in ("config.yaml", "resources/deviations.yaml", "resources/table3.csv", "resources/checksums/vfdb.sha256"):
        shutil.copy2(REPOSITORY / name, texts)
