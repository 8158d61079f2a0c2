"""How an update stands, for people and for programs."""

import json
from dataclasses import asdict
from zoneinfo import ZoneInfo

from appliance.firmware import mediumanswer, updatestatus
from appliance.firmware.updatestatus import UpdateStatus
from appliance.presentation.terminal import printable
from appliance.version import VERSION
from storage.timestamps import local_time


def show(zone: ZoneInfo, *, as_json: bool) -> None:
    """Print it."""
    status = updatestatus.read()
    if as_json:
        document = None if status is None else asdict(status)
        print(json.dumps({"running": VERSION, "update": document}, ensure_ascii=False, indent=2))
        return
    print(f"running 現在の版: {VERSION}")
    for line in ["no update yet  更新の記録はありません。"] if status is None else _lines(status, zone):
        print(printable(line))


def _lines(status: UpdateStatus, zone: ZoneInfo) -> list[str]:
    at = local_time(status.changed_ns, zone).isoformat(sep=" ", timespec="seconds")
    told = [*mediumanswer.lines(status, ""), f"since 時刻: {at}"]
    if status.stops_ns is not None and status.records_ns is not None:
        told.append(f"not recorded 録音停止時間: {(status.records_ns - status.stops_ns) / 1e9:.0f} s")
    return told
