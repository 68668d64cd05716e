"""Synthetic raw files, for demos and tests: a module a task, in the layout of the published set or of a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

Layout = Literal["published", "folder"]


def write_synthetic(task: str, folder: Path, samples: int, seed: int, layout: Layout = "published") -> None:
    """Write the synthetic raw files of a task.

    Args:
        task: `ecg` or `nuclei`.
        folder: Where they go; files of the same names are written again.
        samples: Records (ECG) or cells (nuclei).
        seed: The same seed gives the same bytes.
        layout: `published`: as VFDB or SIPaKMeD; `folder`: CSV signals or PNG images with a table.
    """
    _writer(task, layout)(folder, samples, seed)


def _writer(task: str, layout: Layout) -> Callable[[Path, int, int], None]:
    if task == "ecg":
        from siwcc.data.datasets.synthetic.ecg import write_ecg_folder, write_ecg_records

        return write_ecg_records if layout == "published" else write_ecg_folder
    from siwcc.data.datasets.synthetic.nuclei import write_cells, write_cells_folder

    return write_cells if layout == "published" else write_cells_folder
