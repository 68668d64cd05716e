"""Put every whole recording into a fold."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.recording_folds import write_recording_folds
        from siwcc.data.recordings import read_recordings

        write_recording_folds(
            by_dataset=read_recordings([Path(path) for path in snakemake.input.recordings]),
            folds=snakemake.params.folds,
            path=Path(snakemake.output.folds),
        )
