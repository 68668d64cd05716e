"""Look for onsets in the whole records of a data set with the trained networks."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.data.recording_folds import read_recording_folds
        from siwcc.data.recordings import read_named
        from siwcc.evaluation.rhythm_rises import RiseSettings
        from siwcc.inference.onset_candidates import FoldNetworks, write_network_candidates

        dataset, of_folds = snakemake.wildcards.dataset, [Path(path) for path in snakemake.input.all_recordings]
        write_network_candidates(
            records=read_named(dataset, Path(snakemake.input.recordings), of_folds),
            networks=FoldNetworks.read(
                [Path(path) for path in snakemake.input.models],
                read_recording_folds(Path(snakemake.input.folds), dataset),
                RiseSettings(**snakemake.params.curve),
            ),
            candidates_path=Path(snakemake.output.candidates),
            curves_path=Path(snakemake.output.curves),
        )
