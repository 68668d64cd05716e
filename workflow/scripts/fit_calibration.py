"""Fit what turns the confidence of one arm's networks into a probability."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation.calibration_file import write_calibration
        from siwcc.evaluation.reliability_table import calibrate_arm

        calibration = calibrate_arm(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            strata_path=Path(snakemake.input.strata),
            limits=ErrorLimits(**snakemake.params.limits),
        )
        write_calibration(Path(snakemake.output.calibration), calibration)
