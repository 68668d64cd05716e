"""Curves over whole recordings: the probability of a malignant rhythm at every step, `<dataset>.curves.h5`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from siwcc.io.errors import InputError
from siwcc.io.shards import read_shard, shard_writer

KIND = "curves"


class Curves(NamedTuple):
    """The curves of the records of a data set.

    Attributes:
        step_s: Time from one step to the next; the first step is at 0 s.
        by_record: float32 (steps,), 0 ... 1, for each record.
    """

    step_s: float
    by_record: dict[str, np.ndarray]


def write_curves(path: Path, curves: Curves) -> None:
    """Write curves; they appear under `path` only if all went well."""
    names = list(curves.by_record)
    with shard_writer(path, KIND, {"step_s": curves.step_s, "records": names}) as writer:
        for number, curve in enumerate(curves.by_record.values()):
            record = np.full(len(curve), number, dtype=np.uint16)
            writer.extend({"record": record, "probability": curve.astype(np.float32)})


def read_curves(path: Path) -> Curves:
    """Read what `write_curves` wrote.

    Raises:
        InputError: missing, damaged or foreign.
    """
    shard = read_shard(path, KIND, ("record", "probability"))
    try:
        names, step_s = json.loads(shard.attributes["records"]), float(shard.attributes["step_s"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"does not describe its records ({error!r})", "delete it and run again") from error
    record, probability = shard.arrays["record"], shard.arrays["probability"]
    return Curves(step_s, {name: probability[record == number] for number, name in enumerate(names)})
