"""Synthetic raw files, for demos and tests: one module for each kind, as the published set or as a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from siwcc.config import Kind

Layout = Literal["published", "folder", "radiographs"]


def write_synthetic(kind: Kind, folder: Path, samples: int, seed: int, layout: Layout = "published") -> None:
    """Write synthetic raw files of one kind.

    Args:
        kind: `signal`: ECG recordings; `image`: cells; `volume`: spheres, as a folder only.
        folder: Where they go; files of the same names are written again.
        samples: Records, cells or volumes.
        seed: The same seed gives the same bytes.
        layout: `published`: as VFDB or SIPaKMeD; `folder`: CSV signals, PNG images or NumPy arrays with a table;
            `radiographs`: PNG images with many landmarks in a table.
    """
    _writer(kind, layout)(folder, samples, seed)


def _writer(kind: Kind, layout: Layout) -> Callable[[Path, int, int], None]:
    if kind == "signal":
        from siwcc.data.datasets.synthetic.ecg import write_ecg_folder, write_ecg_records

        return write_ecg_records if layout == "published" else write_ecg_folder
    if layout == "radiographs":
        from siwcc.data.datasets.synthetic.radiographs import write_radiographs

        return write_radiographs
    if kind == "volume":
        from siwcc.data.datasets.synthetic.spheres import write_spheres_folder

        return write_spheres_folder
    from siwcc.data.datasets.synthetic.nuclei import write_cells, write_cells_folder

    return write_cells if layout == "published" else write_cells_folder
