"""Test the study's comparisons over records."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.tasks.interface import ErrorLimits
        from siwcc.evaluation.record_tests import compare_records, write_record_points, write_records

        records = compare_records(
            run_paths=[Path(path) for path in snakemake.input.predictions],
            baseline_paths=[Path(path) for path in snakemake.input.baselines],
            strata_paths=[Path(path) for path in snakemake.input.strata],
            comparisons=[tuple(pair) for pair in snakemake.params.comparisons],
            limits={task: ErrorLimits(**values) for task, values in snakemake.params.limits.items()},
        )
        write_records(Path(snakemake.output.records), records.tests)
        write_record_points(Path(snakemake.output.points), records.points)
