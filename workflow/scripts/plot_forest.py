"""Draw the effects of all models by one metric."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.comparisons import read_rows
        from siwcc.report.figures.forest import plot_forest
        from siwcc.report.figures.style import FigureFiles

        plot_forest(
            rows=read_rows(Path(snakemake.input.comparisons)),
            metric=snakemake.wildcards.metric,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
