"""The disk under an archive, looked at now: which it is, its health, how long it takes for what is written."""

import time

from appliance.condition.seen import DiskSeen
from storage.archive import Archive
from storage.volume import latency, volume


def look(archive: Archive) -> DiskSeen:
    """Look. Raises ArchiveError when the archive is not there."""
    found = volume.describe(archive.root)
    health, measured = volume.health(found), latency.measured(archive.spool)
    return DiskSeen(
        at_ns=time.time_ns(),
        mount_point=found.mount.point,
        file_system=found.mount.kind,
        read_only=found.mount.read_only,
        uuid=found.uuid,
        disk=found.disk,
        health=health.verdict,
        problems=health.problems,
        model=health.model,
        temperature_c=health.temperature_c,
        power_on_h=health.power_on_h,
        worn_percent=health.worn_percent,
        write_median_ms=None if measured is None else measured.median_ms,
        write_longest_ms=None if measured is None else measured.longest_ms,
    )
