"""What each stage may import: a second of start-up counts forty times in a study."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Each of them takes 0.1 to 0.8 s of CPU time to import; torch's compiler takes as long as torch itself.
PLOTTING_AND_TABLES = {"pandas", "scipy", "sklearn", "matplotlib", "requests", "wfdb", "jinja2"}
COMPILER = {"torch._dynamo", "torch._inductor", "sympy"}


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("siwcc.training, siwcc.augment.ecg", PLOTTING_AND_TABLES | COMPILER | {"cv2"}),
        ("siwcc.training, siwcc.augment.nuclei", PLOTTING_AND_TABLES | COMPILER),
        ("siwcc.folds, siwcc.augment.ecg", PLOTTING_AND_TABLES | COMPILER | {"cv2", "torch"}),
        ("siwcc.jobs, siwcc.runs, siwcc.files", PLOTTING_AND_TABLES | {"cv2", "torch", "h5py", "numpy", "pydantic"}),
        ("siwcc.closure, siwcc.config, siwcc.tasks.ecg, siwcc.tasks.nuclei", PLOTTING_AND_TABLES | {"torch", "numpy"}),
    ],
)
def test_a_stage_imports_nothing_heavy_that_it_does_not_use(modules: str, absent: set[str]) -> None:
    program = f"import sys, {modules}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
