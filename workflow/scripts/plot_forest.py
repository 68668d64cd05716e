"""Draw the effects of all models by one metric."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.comparisons import read_rows
        from siwcc.figures import FigureFiles
        from siwcc.figures.forest import plot_forest

        plot_forest(
            rows=read_rows(Path(snakemake.input.comparisons)),
            metric=snakemake.wildcards.metric,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
