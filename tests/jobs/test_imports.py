"""What each stage may import: a second of start-up counts forty times in a study."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Each of them takes 0.1 to 0.8 s of CPU time to import; torch's compiler takes as long as torch itself.
STUDY_AND_EXPORT = {"snakemake", "ruptures", "py7zr", "psutil", "onnx", "onnxscript", "onnxruntime"}
PLOTTING_AND_TABLES = {"pandas", "scipy", "sklearn", "matplotlib", "requests", "wfdb", "jinja2"}
IMAGE_DECODERS = {"PIL", "tifffile", "imagecodecs"}
COMPILER = {"torch._dynamo", "torch._inductor", "sympy"}
# Each stage may import all that the stages before it may: one process can import them in turn.
STAGES = {
    "import siwcc": {"cv2", "torch", "h5py", "numpy", "pydantic"},
    "import siwcc.jobs.job, siwcc.io.study_layout, siwcc.io.files, siwcc.evaluation.baselines.registry": {
        "cv2",
        "torch",
        "h5py",
        "numpy",
        "pydantic",
    },
    "import siwcc.jobs.import_closure, siwcc.evaluation.study_files, siwcc.data.tasks.signal, siwcc.data.tasks.image": {
        "cv2",
        "torch",
        "h5py",
        "numpy",
    },
    "siwcc.config.resolve_device('auto')": {"cv2", "torch", "h5py", "numpy"},
    "import siwcc.data.folds, siwcc.data.augment.signal": {"cv2", "torch"},
    "import siwcc.training.run": {"cv2"},
    "siwcc.load_model; import siwcc.inference.export": {"cv2"},
    # A network is built without torch's compiler and without drawing weights.
    "siwcc.load_model('ecg').predict(__import__('numpy').eye(2, 5000), rate_hz=250)": {"cv2"},
    # A recording that is resampled; short, so that the filters are not scipy's.
    "siwcc.load_detector('ecg').find_onsets(__import__('numpy').eye(2, 9000), rate_hz=360)": {"cv2"},
}
IMAGE_STAGES = {
    "import siwcc.data.folds, siwcc.data.augment.image, siwcc.data.augment.volume": {"torch"},
    "import siwcc.evaluation.baselines.constant, siwcc.evaluation.baselines.intensity": {"torch"},
}
PROGRAM = """
import json, sys
for stage, absent in json.loads(sys.argv[1]).items():
    exec(stage)
    print(stage, *sorted(set(absent) & set(sys.modules)), sep=": ")
"""


@pytest.mark.parametrize("stages", [STAGES, IMAGE_STAGES], ids=["signals", "images"])
def test_a_stage_imports_nothing_heavy_that_it_does_not_use(stages: dict[str, set[str]]) -> None:
    never = STUDY_AND_EXPORT | PLOTTING_AND_TABLES | IMAGE_DECODERS | COMPILER
    absent = {stage: sorted(never | own) for stage, own in stages.items()}
    command = [sys.executable, "-c", PROGRAM, json.dumps(absent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == list(stages)
