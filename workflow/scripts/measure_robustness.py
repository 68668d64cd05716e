"""Predict the test samples again, perturbed."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation.robustness_table import write_robustness
        from siwcc.inference.robustness.measure import measure_robustness

        lines = measure_robustness(
            model_paths=[Path(path) for path in snakemake.input.models],
            fold_paths=[Path(path) for path in snakemake.input.folds],
            samples_path=[Path(path) for path in snakemake.input.samples],
            names=snakemake.params.perturbations,
            limits=ErrorLimits(**snakemake.params.limits),
        )
        write_robustness(Path(snakemake.output.robustness), lines)
