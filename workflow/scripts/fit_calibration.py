"""Fit what turns the confidence of one arm's networks into a probability."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.calibration_file import write_calibration
        from siwcc.reliability import calibrate_arm
        from siwcc.tasks import ErrorLimits

        calibration = calibrate_arm(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            strata_path=Path(snakemake.input.strata),
            limits=ErrorLimits(**snakemake.params.limits),
        )
        write_calibration(Path(snakemake.output.calibration), calibration)
