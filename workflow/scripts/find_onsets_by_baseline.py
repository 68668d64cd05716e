"""Look for onsets in the whole records of a data set without a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.recording_folds import read_recording_folds
        from siwcc.data.recordings import read_named, read_recordings
        from siwcc.evaluation.baselines.onset_detectors.registry import write_detector_candidates

        trained_on = [Path(path) for path in snakemake.input.all_recordings]
        write_detector_candidates(
            name=snakemake.wildcards.method,
            records=read_named(snakemake.wildcards.dataset, Path(snakemake.input.recordings), trained_on),
            of_folds=[record for records in read_recordings(trained_on).values() for record in records],
            fold_of=read_recording_folds(Path(snakemake.input.folds)),
            is_external=Path(snakemake.input.recordings) not in trained_on,
            path=Path(snakemake.output.candidates),
        )
