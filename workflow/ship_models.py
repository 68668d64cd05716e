"""Put the trained networks of one arm of a study into a folder to be given away, with how they were measured.

    python workflow/ship_models.py results/localiser/ecg/none/heatmap models/ecg
    python workflow/ship_models.py results/onsets-both/onsets models/ecg/onsets

See `siwcc.inference.model_folder`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from siwcc.evaluation.onset_settings import ONSETS
from siwcc.inference.model_folder import ship, ship_detectors
from siwcc.io.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run with the two folders; 0, or 1 and one line."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        source, out = map(Path, arguments)
        detects = (source / ONSETS).is_file()
        for path in ship_detectors(source, out) if detects else ship(source, out, small=True):
            print(path)
    except InputError as error:
        print(f"ship_models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
