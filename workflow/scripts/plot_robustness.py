"""Draw the predictions of every network and encoding against the strength of each perturbation."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.robustness_table import read_robustness
        from siwcc.report.figures.robustness import plot_robustness
        from siwcc.report.figures.style import FigureFiles

        plot_robustness(
            lines=read_robustness([Path(path) for path in snakemake.input.robustness]),
            title=snakemake.params.title,
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
