"""Serves fuzz cases, one a line on standard input, within limits; predictions on standard output."""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from fuzz_mutations import kinds_for  # noqa: E402

MEMORY_BYTES = 2 << 30
MOST_SECONDS = 10.0
LONGEST_LINE = 2000


@dataclass(frozen=True)
class Outcome:
    """How a case ended: `same`, `valid` or `refused` is right; `detail` says more of what is wrong."""

    kind: str
    mutation: str
    file: str
    seconds: float
    peak_mb: float
    detail: str = ""


def damage(root: Path, reader: Any, seed: int) -> tuple[str, Path, bytes]:
    """The mutation's name, the file, and its new content, other than the old one where that can be had."""
    draw = random.Random(seed)
    files = sorted(root.glob(reader.files))
    path = draw.choice(files)
    content = path.read_bytes()
    others = [file for file in sorted(root.glob(reader.siblings or "texts/*")) if file.is_file() and file != path]
    foreign = sorted(file for file in (root / "texts").iterdir())
    chosen = [file.read_bytes() for file in (draw.choice(others), draw.choice(foreign))]
    for _ in range(20):
        mutation = draw.choice(kinds_for(path.suffix))
        changed = mutation(draw, content, chosen)
        if changed != content:
            break
    return mutation.__name__, path, changed


def serve_case(root: Path, readers: dict[str, Any], sound: dict[str, str], name: str, seed: int) -> Outcome:
    from fuzz_readers import fingerprint

    reader = readers[name]
    mutation, path, changed = damage(root, reader, seed)
    content = path.read_bytes()
    key = f"{name} {path}"
    if key not in sound:
        sound[key] = fingerprint(reader.read(root, path))
    # Some readers use up what they read.
    path.write_bytes(changed)
    started = time.process_time()
    try:
        value = fingerprint(reader.read(root, path))
        kind, detail = ("same" if value == sound[key] else "valid" if reader.foreign else "changed"), ""
    except BaseException as error:
        kind, detail = judge(error, path)
    finally:
        path.write_bytes(content)
    seconds = time.process_time() - started
    kind = "hang" if seconds > MOST_SECONDS else kind
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kind = "memory" if peak_mb * (1 << 20) > MEMORY_BYTES else kind
    return Outcome(kind, mutation, str(path.relative_to(root)), round(seconds, 3), round(peak_mb), detail)


def judge(error: BaseException, path: Path) -> tuple[str, str]:
    from siwcc.io.errors import InputError

    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    line = str(error)
    if any(isinstance(cause, MemoryError) for cause in causes):
        return "memory", line
    if not isinstance(error, InputError):
        return "traceback", "".join(traceback.format_exception(error))[-1500:]
    if "\n" in line or len(line) > LONGEST_LINE:
        return "unreadable", line[:300]
    # A config that is put together from several files is named as such.
    named = path.name in line or path.stem in line or line.startswith("config")
    return ("refused" if named else "unnamed"), line


def main() -> None:
    root = Path(sys.argv[1])
    # What libraries print must not come between the predictions.
    predictions = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import logging

    logging.disable(logging.CRITICAL)
    from fuzz_readers import READERS

    # Address space that libraries have set aside is no memory.
    limit = psutil.Process().memory_info().vms + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"ready": len(READERS)}), file=predictions, flush=True)
    sound: dict[str, str] = {}
    for line in sys.stdin:
        case = json.loads(line)
        outcome = serve_case(root, READERS, sound, case["reader"], case["seed"])
        print(json.dumps(asdict(outcome)), file=predictions, flush=True)


if __name__ == "__main__":
    main()
