"""What names a run is read from where its files lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from refusals import refused

from siwcc.io.run_key import NO_FOLD, RunKey, run_key_of, run_place


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("results/paper/ecg/coord/full/fold1/seed42/log.csv", RunKey("ecg", "coord", "full", 1, 42)),
        ("/far/away/nuclei/weighted/reduced/fold10/seed0/model.pt", RunKey("nuclei", "weighted", "reduced", 10, 0)),
        ("ecg/none/full/fold2/seed3/predictions.csv", RunKey("ecg", "none", "full", 2, 3)),
        ("results/paper/ecg/none/heatmap/all/seed42/model.pt", RunKey("ecg", "none", "heatmap", NO_FOLD, 42)),
        ("fold1/seed1/ecg/none/full/fold2/seed3/log.csv", RunKey("ecg", "none", "full", 2, 3)),
    ],
)
def test_a_run_is_named_by_its_folders(path: str, key: RunKey) -> None:
    assert run_key_of(Path(path)) == key
    assert f"/{path}".endswith(f"/{run_place(key)}/{Path(path).name}")


@pytest.mark.parametrize(
    "path",
    [
        "log.csv",
        "coord/full/fold1/seed42/log.csv",
        "ecg/coord/full/fold1/seed42",
        "ecg/coord/full/fold1/log.csv",
        "ecg/coord/full/foldx/seed42/log.csv",
        "ecg/coord/full/fold1/seed42/more/log.csv",
        "ecg/coord/full/fold-1/seed42/log.csv",
        "ecg/coord/full/fold0/seed42/log.csv",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with refused(path, "<task>/<encoding>/<variant>/fold<k>/seed<s>/", remedy=None):
        run_key_of(Path(path))
