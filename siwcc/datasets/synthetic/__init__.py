"""Made-up raw files in the layouts of the real sets, for demos and tests: a module a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def write_made_up(task: str, folder: Path, samples: int, seed: int) -> None:
    """Write the made-up raw files of a task.

    Args:
        task: `ecg` or `nuclei`.
        folder: Where they go; files of the same names are written again.
        samples: Records (ECG) or cells (nuclei).
        seed: The same seed gives the same bytes.
    """
    _writer(task)(folder, samples, seed)


def _writer(task: str) -> Callable[[Path, int, int], None]:
    if task == "ecg":
        from siwcc.datasets.synthetic.ecg import write_ecg_records

        return write_ecg_records
    from siwcc.datasets.synthetic.nuclei import write_cells

    return write_cells
