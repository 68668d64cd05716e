"""Draw both errors of every record of one comparison."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.record_tests import RecordPoint
        from siwcc.io.tables import read_lines
        from siwcc.report.figures.records import plot_records, select_points
        from siwcc.report.figures.style import FigureFiles

        names = snakemake.wildcards
        points = read_lines(Path(snakemake.input.points), RecordPoint)
        plot_records(
            points=select_points(points, names.task, names.variant, names.control, names.encoding),
            group=snakemake.params.group,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
