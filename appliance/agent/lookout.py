"""Everything that the agent looks at on the disk and in the kernel, in one go. The disk may hold it up: it has a thread
of its own.

It reads and changes nothing: not the journal's content, not audio.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance import clocks
from appliance.agent import calltail, machine
from appliance.agent.calltail import News, Place
from appliance.agent.machine import MachineSeen
from appliance.alarms.rules.box import CertificateSeen, ServiceSeen
from appliance.assembling import setaside
from appliance.condition import observed
from appliance.condition.record import NAME
from appliance.condition.record import Condition as ArchiveCondition
from appliance.diagnosis.evidence import Evidence
from appliance.diagnosis.wire import levels, wirefile
from appliance.diagnosis.wire.levels import Report as LevelReport
from appliance.errors import CertificateError
from appliance.telemetry import certificates
from appliance.telemetry.settings import MqttSettings
from appliance.version import software
from storage.archive import Archive
from storage.ledger.checkpointfiles import NEWEST
from storage.writer import LOCK_NAME
from uploader import status as upload_status
from uploader.status import UploadStatus

CAPTURE, ASSEMBLE = "capture", "assemble"
MAX_CHECKPOINT_BYTES = 4096
MIRROR_FRESH_NS = 20_000_000_000
"""Assembly reports on the mirror every few seconds."""
_JOURNAL_LOCK = "lock"
_LOCKS, _NEIGHBOURS = Path("/proc/locks"), Path("/proc/net/arp")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_COMPLETE = 0x2
"""The neighbour has answered (ATF_COM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen in one look."""

    condition: ArchiveCondition | None
    """What the archive's owner says of it; None when nothing can be read."""
    services: tuple[ServiceSeen, ...]
    quarantined: int
    """Files in the quarantine, without those of which only the name is left."""
    free_bytes: int | None
    """Room on the archive's disk; None when it is not there."""
    total_bytes: int | None
    clock_synchronised: bool
    machine: MachineSeen
    certificates: tuple[CertificateSeen, ...]
    checkpoint: bytes
    """The ledger's newest; empty when there is none."""
    news: News | None
    """Calls that ended; None when the ledger cannot be read."""
    uploads: UploadStatus | None
    """How delivery stands; None when nothing is delivered."""
    levels: LevelReport | None
    """Which sides of calls are silent; None when nobody has listened lately."""
    caught_up_ns: int
    """When assembly had read the journal to its end, in real time; 0: never."""
    router: str
    """MAC address of the VPN router; empty when it is not known."""
    evidence: Evidence | None
    """What the diagnosis knows; None when nothing is known."""


class Lookout:
    """Looks, and remembers how far the ledger was read."""

    def __init__(
        self,
        archive: Archive,
        mqtt: MqttSettings,
        *,
        records: bool,
        next_hop: str,
        observe: Callable[[], Evidence] | None,
    ) -> None:
        """`records`: this box is to record mirror ports. `next_hop`: the VPN router's address. `observe` asks the
        probes; None: there are none."""
        self._observe = observe
        self._records = records
        self._next_hop = next_hop
        self._archive = archive
        self._mqtt = mqtt

    def look(self, place: Place | None) -> Seen:
        """Look at everything; `place` is how far the ledger was read."""
        archive = self._archive
        free, total = _room(archive.root)
        levels_told = observed.read(archive.run, levels.NAME, LevelReport)
        wire_told = observed.read(archive.run, wirefile.NAME, wirefile.Report)
        return Seen(
            condition=observed.read(archive.run, NAME, ArchiveCondition),
            services=self._services(),
            quarantined=_quarantined(archive.quarantine),
            free_bytes=free,
            total_bytes=total,
            clock_synchronised=clocks.clock_discipline().synchronised,
            machine=machine.look(),
            certificates=tuple(_certificates(self._mqtt)),
            checkpoint=_checkpoint(archive.ledger / NEWEST),
            news=_news(archive, place),
            uploads=observed.read(archive.run, upload_status.NAME, UploadStatus),
            levels=None if levels_told is None or not _is_fresh(levels_told.at_ns) else levels_told,
            caught_up_ns=max(0 if one is None else one.at_ns for one in (levels_told, wire_told)),
            router=_neighbour(self._next_hop),
            evidence=_of_mirror(wire_told) if self._observe is None else self._observe(),
        )

    def _services(self) -> tuple[ServiceSeen, ...]:
        """Who holds the journal's lock captures, who holds the archive's assembles; what nobody knows is left out."""
        held = _locks()
        found = []
        for name, path in (
            (CAPTURE, self._archive.journal / _JOURNAL_LOCK),
            (ASSEMBLE, self._archive.run / LOCK_NAME),
        ):
            pid: int | None
            try:
                pid = held.get(_place_of(path), 0)
            except PermissionError:
                pid = _of_unit(name)
            if pid is not None:
                found.append(ServiceSeen(name=name, pid=pid, expected=self._records))
        return tuple(found)


def _locks() -> dict[str, int]:
    """Processes by the file that they hold a lock on."""
    try:
        lines = _LOCKS.read_text("ascii", "replace").splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines]
    return {words[5]: int(words[4]) for words in fields if len(words) > 5 and words[1] == "FLOCK"}


def _place_of(path: Path) -> str:
    """How a file is called in /proc/locks; empty when it is not there. Raises PermissionError."""
    try:
        status = path.stat()
    except PermissionError:
        raise
    except OSError:
        return ""
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def _of_unit(name: str) -> int | None:
    """The first process of a service's control group, 0 when it has none; None when systemd does not run it."""
    units = [*_CONTROL_GROUPS.glob(f"rokubox.slice/rokubox-{name}.service"),
             *_CONTROL_GROUPS.glob(f"rokubox.slice/*/rokubox-{name}.service")]  # fmt: skip
    if not _CONTROL_GROUPS.joinpath("rokubox.slice").is_dir():
        return None
    try:
        return min(
            (int(pid) for unit in units for pid in (unit / "cgroup.procs").read_text("ascii").split()), default=0
        )
    except OSError:
        return 0


def _quarantined(folder: Path) -> int:
    """Files in the quarantine, as far as we may look."""
    try:
        return setaside.kept(folder)
    except OSError:
        return 0


def _room(folder: Path) -> tuple[int | None, int | None]:
    try:
        status = os.statvfs(folder)
    except OSError:
        return None, None
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


def _certificates(mqtt: MqttSettings) -> list[CertificateSeen]:
    if not mqtt.host or not mqtt.tls:
        return []
    files = [("mqtt client", mqtt.certificate_file), ("mqtt authority", mqtt.ca_file)]
    return [_certificate(purpose, Path(file)) for purpose, file in files if file]


def _certificate(purpose: str, file: Path) -> CertificateSeen:
    try:
        found = certificates.read(file)
    except CertificateError as error:
        return CertificateSeen(purpose=purpose, days_left=None, problem=str(error))
    return CertificateSeen(purpose=purpose, days_left=found.days_left(certificates.utc_now()))


def _checkpoint(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CHECKPOINT_BYTES)
    except OSError:
        return b""


def _news(archive: Archive, place: Place | None) -> News | None:
    try:
        return calltail.read(archive, place)
    except OSError:
        return None


def _is_fresh(at_ns: int) -> bool:
    return abs(time.time_ns() - at_ns) <= MIRROR_FRESH_NS


def _of_mirror(report: wirefile.Report | None) -> Evidence | None:
    """What assembly tells of the mirror, without probes; an old account says nothing."""
    if report is None or not _is_fresh(report.at_ns):
        return None
    return Evidence(at_ns=time.time_ns(), software=software(), ports=report.ports, wire=report.wire)


def _neighbour(address: str) -> str:
    """MAC address of a neighbour that the kernel knows (proc_pid_net(5), arp); empty when it does not."""
    try:
        lines = _NEIGHBOURS.read_text("ascii", "replace").splitlines()[1:]
    except OSError:
        return ""
    known = [fields for line in lines if len(fields := line.split()) >= 4]
    return next((fields[3] for fields in known if fields[0] == address and int(fields[2], 16) & _COMPLETE), "")
