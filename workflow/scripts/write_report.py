"""Draw the figures of the study and write its report."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import parse_config
        from siwcc.io.run_key import remove_states
        from siwcc.report.build import Resources, write_report
        from siwcc.report.drawing import draw_complete
        from siwcc.report.study import Study, measure

        report = Path(snakemake.output.report)
        study = Study(report.parent, Path("data"), parse_config(snakemake.config))
        resources = Resources(Path(snakemake.input.published), Path(snakemake.input.deviations))
        measured = measure(study, resources.published)
        draw_complete(study, measured)
        write_report(study, resources, report, measured)
        # By now Snakemake has recorded every run as done.
        remove_states({Path(path).parent for path in snakemake.input.runs})
