"""Draw how long before each event the event before lies."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.report.figures.samples import plot_gaps
        from siwcc.report.figures.style import FigureFiles

        plot_gaps(
            strata_path=Path(snakemake.input.strata),
            isolated_s=snakemake.params.isolated_s,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
