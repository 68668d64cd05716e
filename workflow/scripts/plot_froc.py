"""Draw found onsets against false alarms per hour."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.report.figures.style import FigureFiles
        from siwcc.report.onsets import draw_froc

        draw_froc(
            froc_path=Path(snakemake.input.froc),
            onsets_path=Path(snakemake.input.onsets),
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
