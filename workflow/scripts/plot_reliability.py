"""Draw what the confidence of one arm is worth."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.evaluation.reliability_table import ReliabilityBin
        from siwcc.io.tables import read_lines
        from siwcc.report.figures.reliability import plot_reliability, select_bins
        from siwcc.report.figures.style import FigureFiles

        names = snakemake.wildcards
        bins = read_lines(Path(snakemake.input.bins), ReliabilityBin)
        plot_reliability(
            bins=select_bins(bins, names.task, names.encoding, names.variant),
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
