"""Changes of rhythm and beats in the annotation file of a WFDB record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

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


@dataclass(frozen=True)
class Annotations:
    """What is annotated in a record, in the order of time.

    Attributes:
        code: int64 (annotations,), WFDB's numbers of their kinds.
        sample: int64 (annotations,), ascending.
        note: Of each annotation.
        step_s: Time from one sample to the next, exactly.
    """

    code: np.ndarray
    sample: np.ndarray
    note: Sequence[str]
    step_s: Fraction

    @property
    def changes(self) -> list[tuple[Fraction, str]]:
        """When the rhythm changes, seconds from the record's start, and to what, the label without its bracket."""
        rhythm = np.flatnonzero(self.code == _RHYTHM_CODE).tolist()
        return [(int(self.sample[index]) * self.step_s, self.note[index].strip("( \t\r\n\0")) for index in rhythm]

    @property
    def beats(self) -> list[tuple[Fraction, bool]]:
        """When a beat is, seconds from the record's start, and whether it is ventricular."""
        beats = np.flatnonzero(np.isin(self.code, _BEAT_CODES)).tolist()
        return [(int(self.sample[index]) * self.step_s, self.code[index] in _VENTRICULAR_CODES) for index in beats]


def read_annotations(record: WfdbRecord) -> Annotations:
    """The annotations of a record.

    Args:
        record: It has a file `.atr`.

    Raises:
        InputError: a damaged annotation file.
    """
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
    return Annotations(annotation.label_store, annotation.sample, annotation.aux_note, 1 / Fraction(rate_hz))


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
