"""Small and read-only disks under a study's folder, in a mount namespace of their own: no root is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from places import Place

NAMESPACE = ("unshare", "--map-root-user", "--mount")


def may_mount() -> bool:
    """Whether this machine lets a process have disks of its own."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return False
    with tempfile.TemporaryDirectory() as folder:
        script = 'mount -t tmpfs none "$0" && mount -o remount,size=64k "$0"'
        done = subprocess.run([*NAMESPACE, "sh", "-c", script, folder], capture_output=True, check=False)
    return done.returncode == 0


@dataclass(frozen=True)
class PlaceWithDisks(Place):
    """A place whose commands run where the disks are mounted, and whose files are seen from there."""

    keeper: int

    def inside(self, *command: str) -> list[str]:
        """The command in the namespace and the place's folder."""
        enter = ["nsenter", "--target", str(self.keeper), "--user", "--preserve-credentials", "--mount"]
        return [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(self.folder), *command]

    def command(self, *arguments: str, snakefile: str = "Snakefile", study: str | None = "tiny") -> list[str]:
        return self.inside(*super().command(*arguments, snakefile=snakefile, study=study))

    @property
    def seen(self) -> Path:
        """The folder as the commands see it."""
        return Path("/proc", str(self.keeper), "root", *self.folder.parts[1:])

    def digests(self, below: str = "results") -> dict[str, str]:
        return Place(self.repository, self.seen).digests(below)

    def do(self, script: str, *arguments: str) -> None:
        subprocess.run(self.inside("sh", "-ec", script, *arguments), check=True)

    def mount(self, name: str) -> None:
        """Put the folder `name`, with what is in it, on a disk of its own, of half the memory at first."""
        self.do('mkdir -p "$0" .disk; mount -t tmpfs none .disk; cp -a "$0/." .disk; mount --move .disk "$0"', name)

    def resize(self, name: str, size_bytes: int) -> None:
        """Give a disk that size."""
        self.do('mount -o "remount,size=$1" "$0"', name, str(size_bytes))

    def used_bytes(self, name: str) -> int:
        status = os.statvfs(self.seen / name)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def protect(self, name: str) -> None:
        """Make a folder read-only, for whoever it may be."""
        self.do('mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"', name)


@contextmanager
def disks(place: Place) -> Iterator[PlaceWithDisks]:
    """A place with disks; they are gone afterwards."""
    # It holds the namespace, and ends when its input does.
    keeper = subprocess.Popen([*NAMESPACE, "sh", "-c", "echo ready; exec cat"], stdin=-1, stdout=-1, text=True)
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        assert keeper.stdout.readline() == "ready\n"
        yield PlaceWithDisks(place.repository, place.folder, keeper.pid)
    finally:
        keeper.stdin.close()
        keeper.wait()
