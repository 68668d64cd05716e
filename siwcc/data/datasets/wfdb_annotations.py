"""Changes of rhythm and beats in the annotation file of a WFDB record."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import wfdb

from siwcc.data.datasets.wfdb_files import WfdbRecord, first_line
from siwcc.io.errors import InputError

# Code of `+`, a change of rhythm. By code, as wfdb fails on the symbols of codes that it has no name for.
_RHYTHM_CODE = 28
# Premature (V, on the T wave r), escape (E) and flutter (!), not the fusion with a normal beat (F).
_VENTRICULAR_CODES = (5, 10, 31, 41)
_BEAT_CODES = (*range(1, 14), 25, 30, 31, 34, 35, 38, 41)
# The notes that may start with `## `, and their orders; on others wfdb's reader never returns.
_DEFINITIONS = {
    "T": re.compile(rb"## time resolution: \d.*", re.DOTALL),
    "D": re.compile(rb"## annotation type definitions"),
    "E": re.compile(rb"## end of definitions"),
}
_DEFINITION_ORDERS = ("", "T", "DE", "TDE", "DET")


class Annotations(NamedTuple):
    """What is annotated in a record, in the order of time: seconds from the record's start, exactly, and what.

    Attributes:
        changes: Labels of the rhythms that begin, without their bracket.
        beats: Whether each is ventricular.
    """

    changes: list[tuple[Fraction, str]]
    beats: list[tuple[Fraction, bool]]


def read_annotations(record: WfdbRecord) -> Annotations:
    """Changes of rhythm, and beats.

    Args:
        record: It has a file `.atr`.

    Raises:
        InputError: a damaged annotation file.
    """
    annotation, step_s = _read(record)
    codes, samples = annotation.label_store.tolist(), annotation.sample.tolist()
    rows = list(zip(codes, samples, annotation.aux_note, strict=True))
    changes = [(at * step_s, note.strip("( \t\r\n\0")) for code, at, note in rows if code == _RHYTHM_CODE]
    return Annotations(
        changes, [(at * step_s, code in _VENTRICULAR_CODES) for code, at, _ in rows if code in _BEAT_CODES]
    )


def rhythm_changes(record: WfdbRecord) -> list[tuple[Fraction, str]]:
    """The changes of rhythm alone, see `read_annotations`."""
    return read_annotations(record).changes


def _read(record: WfdbRecord) -> tuple[wfdb.Annotation, Fraction]:
    """All annotations, and the time from one sample of theirs to the next, s."""
    path, remedy = Path(f"{record.stem}.atr"), record.needs.remedy
    has_own_rate = _check_bytes(path, remedy)
    try:
        annotation = wfdb.rdann(record.stem, "atr", return_label_elements=["label_store"])
    except Exception as error:
        raise InputError(path, f"is no readable WFDB annotation file ({first_line(error)})", remedy) from error
    if np.any(np.diff(annotation.sample, prepend=0) < 0):
        raise InputError(path, "is damaged: its annotations are not in the order of time", remedy)
    # An annotation file may count in another unit than the signal's samples. Not from wfdb's reading of the header.
    rate_hz = annotation.fs if has_own_rate else record.header.rate_hz
    if not rate_hz:
        raise InputError(path, "is damaged: its time resolution is 0", remedy)
    return annotation, 1 / Fraction(rate_hz)


def _check_bytes(path: Path, remedy: str) -> bool:
    """Refuse what wfdb would read without complaint (a cut file) or never finish; whether there is a resolution."""
    content = path.read_bytes()
    if len(content) % 2 or not content.endswith(b"\0\0"):
        raise InputError(path, "is cut off: its end mark is missing", remedy)
    found = "".join(_definition_at(content, match.start()) for match in re.finditer(b"## ", content))
    if found not in _DEFINITION_ORDERS:
        raise InputError(path, "is damaged: it has a definition that WFDB does not know", remedy)
    return "T" in found


def _definition_at(content: bytes, start: int) -> str:
    """Kind of the note that starts here; the byte pair before it holds its length."""
    note = content[start : start + content[start - 2]] if start >= 2 else b""
    return next((kind for kind, pattern in _DEFINITIONS.items() if pattern.fullmatch(note)), "?")
