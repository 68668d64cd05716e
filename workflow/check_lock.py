"""Resolve requirements.lock and torch for each supported Python and platform, without an installation.

Arguments: the program uv, torch with its version, and the Python versions. Markers are those of the target, each
package must have a wheel for it, and each dependency must be in the lock. Each hash must be that of a published file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

LOCK = "requirements.lock"
# The oldest system of each kind for which torch has a wheel.
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux aarch64": "aarch64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
}
MACOS = "14.0"
# Pure Python, published without a wheel.
WITHOUT_WHEEL = "connection-pool"


class ResolutionError(Exception):
    """Why uv found no solution, on one line with the package's name."""


def run(command: list[str], requirement: str | None = None) -> str:
    """Run uv and return all that it printed."""
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS}
    command = [*command, "--python", sys.executable]
    done = subprocess.run(  # noqa: S603 - started as a list, from the Makefile
        command, input=requirement, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        reason = re.split(r"(?:error|cause):", done.stderr.partition("\nhint:")[0])[-1]
        raise ResolutionError(" ".join(reason.split()))
    return done.stdout + done.stderr


def resolve(uv: str, torch: str, python: str, platform: str) -> str:
    """Resolve the lock, and torch together with it, for one Python on one platform."""
    wheels = ["--python-version", python, "--python-platform", platform, "--only-binary", ":all:"]
    with tempfile.TemporaryDirectory() as folder:
        install = [uv, "pip", "install", "--dry-run", "--target", folder, "--require-hashes", "--requirements", LOCK]
        text = run([*install, *wheels, "--no-binary", WITHOUT_WHEEL])
    run([uv, "pip", "compile", "--quiet", "--constraints", LOCK, *wheels, "-"], torch)
    return f"{re.findall(r'Would install (.*)', text)[0]}, {torch}"


def hashes_in(text: str) -> dict[str, set[str]]:
    """Each package of a lock, with its version, and its hashes."""
    entries = re.findall(r"(?m)^([a-z0-9]\S+==\S+)(.*\n(?:    .*\n?)*)", text)
    return {name: set(re.findall(r"sha256:\w+", rest)) for name, rest in entries}


def compare_hashes(uv: str, python: str) -> str:
    """Look for hashes in the lock that no published file of the package's version has."""
    compiled = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", python, "--no-deps"]
    published = hashes_in(run([*compiled, "--generate-hashes", LOCK]))
    locked = {name: hashes for name, hashes in hashes_in(Path(LOCK).read_text()).items() if name in published}
    wrong = [name for name, hashes in locked.items() if not hashes <= published[name]]
    if wrong:
        raise ResolutionError(f"no published file has a hash of {', '.join(wrong)}")
    return f"those of {len(locked)} packages are published"


def main(uv: str, torch: str, *pythons: str) -> int:
    """Print one line per Python and platform, and one about the hashes; 1 if one of them fails."""
    checks = {
        f"Python {python}, {name}": partial(resolve, uv, torch, python, platform)
        for python in pythons
        for name, platform in PLATFORMS.items()
    }
    checks["Hashes"] = partial(compare_hashes, uv, pythons[0])
    failed = False
    for name, check in checks.items():
        try:
            text = check()
        except ResolutionError as error:
            failed, text = True, f"FAILED: {error}"
        print(f"{name}: {text}", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
