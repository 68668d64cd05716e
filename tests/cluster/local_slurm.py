"""A real SLURM on this machine for the tests: one node, pretended GPUs, reachable from this machine only.

munged, slurmctld and slurmd are started without systemd and end with the tests. It needs root, and Debian's packages,
which are installed if they are missing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

# The inner `srun` of Snakemake's job step runs without any SLURM_* variable: only the default place is found.
ETC = Path("/etc/slurm")
MARK = "# written by the tests of siwcc"
_NULL_DEVICE = os.makedev(1, 3)
_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
_START_S = 30.0

# MinJobAge: below three status checks the plugin asks sacct, which needs a database.
# SchedulerParameters: jobs start within a second, and a job without GPU does not wait behind those for one.
# config_overrides: more CPUs than there are do not drain the node.
CONFIGURATION = """\
{mark}
ClusterName=siwcc-tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,bf_min_prio_reserve=4294967294
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=0
MinJobAge=3600
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN Gres=gpu:{gpus}
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class UnavailableError(Exception):
    """No SLURM can be started here; the text says why."""


@dataclass(frozen=True)
class LocalSlurm:
    """The cluster of the tests.

    Attributes:
        folder: State, logs and process numbers.
        gpus: Pretended GPUs.
        cpus: CPUs that the node offers; may be more than there are.
        memory_mb: Memory that it offers.
    """

    folder: Path
    gpus: int = 2
    cpus: int = 8
    memory_mb: int = 64_000

    def start(self) -> None:
        """Start it and wait until the node takes jobs.

        Raises:
            UnavailableError: not root, no Debian, another SLURM is set up here, or it does not come up.
        """
        if os.geteuid() != 0:
            raise UnavailableError("a local SLURM needs root")
        if (ETC / "slurm.conf").exists() and MARK not in (ETC / "slurm.conf").read_text():
            raise UnavailableError(f"{ETC}/slurm.conf is another cluster's, and stays as it is")
        _install()
        _check_loopback()
        self._configure()
        try:
            self._start_munged()
            self._start_daemon("slurmctld", "-i")
            self._wait_for("slurmctld", lambda: "is UP" in _prediction("scontrol", "ping"))
            self._start_daemon("slurmd")
            self._wait_for("the node", self._node_is_idle)
        except UnavailableError:
            self._remove()
            raise

    def stop(self) -> None:
        """Cancel the jobs, end what was started here and take its configuration away."""
        subprocess.run(["scancel", "--user=root"], check=False, capture_output=True)
        self._wait_for("the end of all jobs", lambda: not _prediction("squeue", "--noheader"))
        self._remove()

    def _remove(self) -> None:
        for name in ("slurmd", "slurmctld", "munged"):
            process = self._running(name)
            if process is not None:
                process.terminate()
                process.wait(timeout=_START_S)
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)

    def _configure(self) -> None:
        for name in ("state", "spool", "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = _host()
        values = {"folder": self.folder, "gpus": self.gpus, "cpus": self.cpus, "memory_mb": self.memory_mb}
        ETC.mkdir(exist_ok=True)
        (ETC / "slurm.conf").write_text(CONFIGURATION.format(mark=MARK, host=host, **values))
        # Without a device file the GPUs would not count, and CUDA_VISIBLE_DEVICES would not be set.
        devices = [self.folder / "dev" / f"gpu{number}" for number in range(self.gpus)]
        for device in devices:
            if not device.exists():
                os.mknod(device, stat.S_IFCHR | 0o666, _NULL_DEVICE)
        (ETC / "gres.conf").write_text(
            "".join(f"{line}\n" for line in [MARK, *(f"NodeName={host} Name=gpu File={path}" for path in devices)])
        )

    def _start_munged(self) -> None:
        if _munge_works():
            return
        for path, mode in (("/run/munge", 0o755), ("/etc/munge", 0o700), ("/var/log/munge", 0o700)):
            _own_by_munge(Path(path), mode)
        _own_by_munge(Path("/var/lib/munge"), 0o711)
        key = Path("/etc/munge/munge.key")
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(1024))
            shutil.chown(key, "munge", "munge")
        as_munge = ["setpriv", "--reuid=munge", "--regid=munge", "--init-groups"]
        self._start_daemon("munged", "--pid-file", "/run/munge/munged.pid", before=as_munge)
        self._wait_for("munged", _munge_works)
        shutil.copy("/run/munge/munged.pid", self.folder / "munged.pid")

    def _start_daemon(self, name: str, *arguments: str, before: list[str] | None = None) -> None:
        # To a file: a daemon keeps a pipe open, and its reader would wait for ever.
        with (self.folder / f"{name}.start").open("wb") as messages:
            command = [*(before or []), _path_of(name), *arguments]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, check=False)

    def _node_is_idle(self) -> bool:
        state = _prediction("sinfo", "--noheader", "--format=%T")
        if state.startswith(("down", "drain")):
            _prediction("scontrol", "update", f"nodename={_host()}", "state=resume")
        return state == "idle"

    def _wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + _START_S
        while not ready():
            if time.monotonic() > give_up_at:
                logs = [path.read_text()[-1500:] for path in sorted(self.folder.glob("*.log"))]
                raise UnavailableError("\n".join([f"timed out waiting for {what}", *logs]))
            time.sleep(0.2)

    def _running(self, name: str) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.folder / f"{name}.pid").read_text()))
            return process if process.name() == name else None
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None


def _install() -> None:
    if all(_path_of(name) for name in _PROGRAMS):
        return
    if shutil.which("apt-get") is None:
        raise UnavailableError(f"{', '.join(_PROGRAMS)} are not installed, and there is no apt-get to install them")
    # Without the recommended plugins: 8 small packages in place of 43.
    install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["sh", "-c", install], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not all(_path_of(name) for name in _PROGRAMS):
        raise UnavailableError(f"slurm-wlm and munge could not be installed: {done.stderr.strip()[-300:]}")


def _path_of(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _check_loopback() -> None:
    try:
        address = socket.gethostbyname(_host())
    except OSError as error:
        raise UnavailableError(
            f"the host name {_host()} has no address; put it into /etc/hosts as 127.0.0.1"
        ) from error
    if not address.startswith("127."):
        raise UnavailableError(f"the host name {_host()} is {address}: SLURM would listen to the network")


def _prediction(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.strip()


def _munge_works() -> bool:
    sealed = subprocess.run(["munge", "-n"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return (
        sealed.returncode == 0
        and b"Success" in subprocess.run(["unmunge"], input=sealed.stdout, capture_output=True, check=False).stdout
    )


def _own_by_munge(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    shutil.chown(folder, "munge", "munge")
