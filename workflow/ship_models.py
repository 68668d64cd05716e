"""Put the trained networks of one arm of a study into a folder to be given away, with how they were measured.

    python workflow/ship_models.py results/localiser/ecg/none/heatmap models/ecg

fold<k>.pt has not seen test fold k, all.pt has seen every fold; errors.csv and errors_by_stratum.csv are over the
answers of each fold's network to its own test fold, and so is calibration.json, where the networks say how sure they
are: it turns that into a probability.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from siwcc.accuracy import measure_study, write_errors, write_errors_by_stratum
from siwcc.calibration_file import NAME, write_calibration
from siwcc.errors import InputError
from siwcc.files import write_bytes
from siwcc.map_variants import MAP_VARIANTS
from siwcc.models import TrainedModel, read_model
from siwcc.reliability import calibrate_arm
from siwcc.tasks import task_module


def ship(arm: Path, out: Path) -> list[Path]:
    """Copy the networks of an arm and sum up what they answered.

    Args:
        arm: `results/<study>/<task>/<encoding>/<variant>`, one seed.
        out: The folder to fill.

    Returns:
        What was written.

    Raises:
        InputError: a network is missing or damaged, or there are several seeds.
    """
    sources = {path.parent.parent.name: path for path in sorted(arm.glob("*/seed*/model.pt"))}
    if "all" not in sources or len(sources) < 2 or len(sources) < len(list(arm.glob("*/seed*/model.pt"))):
        raise InputError(arm, "must hold fold<k>/seed<s>/model.pt and all/seed<s>/model.pt of one seed")
    models = {name: read_model(path) for name, path in sources.items()}
    for name, model in models.items():
        write_bytes(out / f"{name}.pt", model.path.read_bytes())
    return [*(out / f"{name}.pt" for name in models), *_measure(arm, models["all"], out)]


def _measure(arm: Path, model: TrainedModel, out: Path) -> list[Path]:
    task = model.key.task
    limits = task_module(task).error_limits(model.spec)
    strata, answers = arm.parents[1] / "strata.csv", sorted(arm.glob("fold*/seed*/predictions.csv"))
    errors = measure_study(answers, [], [strata], {task: limits})
    write_errors(out / "errors.csv", errors.overall)
    write_errors_by_stratum(out / "errors_by_stratum.csv", errors.by_stratum)
    written = [out / "errors.csv", out / "errors_by_stratum.csv"]
    if model.key.variant in MAP_VARIANTS:
        write_calibration(out / NAME, calibrate_arm(answers, strata, limits))
        written.append(out / NAME)
    return written


def main(arguments: Sequence[str]) -> int:
    """Run with the two folders; 0, or 1 and one line."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for path in ship(*map(Path, arguments)):
            print(path)
    except InputError as error:
        print(f"ship_models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
