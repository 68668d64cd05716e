"""Draw the false alarms and the missed onsets that are furthest off."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.recordings import read_named
        from siwcc.report.figures.style import FigureFiles
        from siwcc.report.onsets import draw_onset_errors

        dataset = snakemake.wildcards.dataset
        trained_on = [Path(path) for path in snakemake.input.all_recordings]
        draw_onset_errors(
            dataset=dataset,
            records=read_named(dataset, Path(snakemake.input.recordings), trained_on),
            candidates_path=Path(snakemake.input.candidates),
            curves_path=Path(snakemake.input.curves),
            by_record_path=Path(snakemake.input.by_record),
            files=FigureFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
