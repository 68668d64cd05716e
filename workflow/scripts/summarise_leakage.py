"""Set four studies side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.analyses.leakage_report import PageFiles, summarise_leakage
        from siwcc.report.figures.style import FigureFiles

        output = snakemake.output
        summarise_leakage(
            folders=[Path(path).parent for path in snakemake.input.configs],
            data=Path("data"),
            files=PageFiles(
                figure=FigureFiles(Path(output.svg), Path(output.png), Path(output.data)),
                differences=Path(output.differences),
                window_overlap=Path(output.window_overlap),
                page=Path(output.page),
            ),
        )
