"""Train one network, and evaluate it on its test fold if it has one."""

from pathlib import Path
from typing import TYPE_CHECKING

from siwcc.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    with job(snakemake.log[0]):
        from siwcc.config import Train, check_cores
        from siwcc.io.run_key import NO_FOLD, run_key_of
        from siwcc.training.gpu_lock import one_gpu
        from siwcc.training.run import RunFiles, train_run

        key = run_key_of(Path(snakemake.output.log))
        settings = Train.model_validate(snakemake.params.train)
        check_cores(settings, snakemake.threads)
        with one_gpu(settings.device, asked=snakemake.resources.gpu):
            train_run(
                key=key,
                fold_paths=[Path(path) for path in snakemake.input.folds],
                samples_path=[Path(path) for path in snakemake.input.samples],
                settings=settings,
                files=RunFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
                keep_state=key.fold != NO_FOLD,
                compiled_folder=Path(".snakemake/compiled"),
            )
