"""Train a network that gives every moment of a recording a probability."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import OnsetTraining, parse_dataset
        from siwcc.data.recording_folds import read_recording_folds
        from siwcc.data.recordings import read_recordings
        from siwcc.training.rhythm_run import train_fold

        by_dataset = read_recordings([Path(path) for path in snakemake.input.recordings])
        train_fold(
            by_dataset=by_dataset,
            sections={name: parse_dataset(snakemake.config["datasets"][name]) for name in by_dataset},
            fold_of=read_recording_folds(Path(snakemake.input.folds)),
            fold=int(snakemake.wildcards.fold),
            seed=int(snakemake.wildcards.seed),
            training=OnsetTraining.model_validate(snakemake.params.training),
            path=Path(snakemake.output.model),
        )
