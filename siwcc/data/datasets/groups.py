"""Which slide image a file of the image sets is of, by its name: needs nothing that reads or downloads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from siwcc.io.foreign import composed

SIPAKMED_CLASSES = ("Dyskeratotic", "Koilocytotic", "Metaplastic", "Parabasal", "Superficial-Intermediate")
SIPAKMED_CELL = re.compile(r"([0-9]+)_[0-9]+")


def herlev_group(path: Path) -> str:
    """The frame that an image was cut from: the first two fields of its name."""
    return composed("-".join(path.stem.split("-")[:2]))


def sipakmed_group(path: Path) -> str:
    """The slide image `C_NNN` of a crop, by its name and its class folder; empty where these do not tell."""
    name, class_number = SIPAKMED_CELL.fullmatch(path.stem), sipakmed_class(path.absolute().parts[:-1])
    return f"{class_number}_{name[1]}" if name and class_number else ""


def sipakmed_class(folders: Sequence[str]) -> int:
    """The class, from 1, that the innermost of some folders is named after; 0 if none is."""
    numbers = {name.lower(): number for number, name in enumerate(SIPAKMED_CLASSES, start=1)}
    plain = [folder.lower().removeprefix("im_").replace("_", "-") for folder in folders]
    return next((numbers[name] for name in reversed(plain) if name in numbers), 0)
