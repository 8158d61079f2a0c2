"""What an import ends with: calls by outcome and reason, packets by fate, completeness."""

from collections import Counter
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from appliance.importer import FileReport, ImportReport
from appliance.terminal import printable
from storage.archive import Archive
from storage.call_record import CallRecord


def show(console: Console, report: ImportReport, archive: Archive) -> None:
    """Print the summary of an import."""
    calls = report.publisher.records
    console.print(_outcomes(calls))
    console.print(_fates(report))
    console.print(_completeness(calls))
    for file in report.files:
        for line in _remarks(file):
            console.print(printable(line))
    for conflict in report.publisher.conflicts:
        console.print(f"kept what was there: {conflict}")
    console.print(printable(f"recordings: {archive.recordings}"))
    console.print(printable(f"call records: {archive.records}"))


def _outcomes(calls: Iterable[CallRecord]) -> Table:
    table = Table("outcome", "reason", "calls", box=box.SIMPLE, title="Calls", title_justify="left")
    table.columns[2].justify = "right"
    counted = Counter((call.outcome.value, call.reasons[0].value if call.reasons else "") for call in calls)
    for (outcome, reason), number in sorted(counted.items()):
        table.add_row(outcome, reason or "-", f"{number:,}")
    table.add_row("all", "", f"{sum(counted.values()):,}")
    return table


def _fates(report: ImportReport) -> Table:
    table = Table("packets", "", box=box.SIMPLE, title="Packets", title_justify="left")
    table.columns[1].justify = "right"
    intake, state = report.intake.counters, report.assembly.state
    signalling, counters = state.signalling.counters, state.counters
    in_recordings = sum(side.packets for call in report.publisher.records for side in call.sides)
    duplicates = sum(side.duplicates for call in report.publisher.records for side in call.sides)
    late = sum(side.too_late for call in report.publisher.records for side in call.sides) + counters.too_late
    rows = [
        ("read", intake.frames),
        ("media (RTP)", intake.media),
        ("  in recordings", in_recordings),
        ("  copies removed", duplicates),
        ("  too late", late),
        ("  not RTP after all", counters.not_rtp),
        ("  not wanted by any rule", counters.not_wanted),
        ("  not followed, too many streams", state.runs.overflowed),
        ("signalling", intake.signalling),
        ("  SIP messages", signalling.sip),
        ("  SIP malformed", signalling.sip_malformed),
        ("  RTCP", signalling.rtcp),
        ("  RTCP malformed", signalling.rtcp_malformed),
        ("  datagrams reassembled", state.signalling.fragments.reassembled),
        ("  datagrams never complete", state.signalling.fragments.expired + len(state.signalling.fragments.partial)),
        ("  SIP over TLS connections (unreadable)", signalling.tls_connections),
        ("other UDP", intake.other_udp),
        ("other TCP", intake.other_tcp),
        ("other IP", intake.other_ip),
        ("not IP", intake.not_ip),
        ("damaged", intake.damaged),
        ("media cut by the snap length", intake.truncated_media),
    ]
    for name, number in rows:
        if number or name in ("read", "media (RTP)", "signalling"):
            table.add_row(name, f"{number:,}")
    return table


def _completeness(calls: Iterable[CallRecord]) -> str:
    expected = network = capture = 0
    for call in calls:
        expected += call.expected_samples
        network += call.network_lost_samples
        capture += call.capture_lost_samples
    if not expected:
        return "completeness: nothing was expected"
    whole = 100 * max(0, expected - network - capture) / expected
    ours = 100 * max(0, expected - capture) / expected
    return f"completeness: {whole:.3f} %   (capture alone: {ours:.3f} %)   speech expected: {expected / 8000:,.0f} s"


def _remarks(file: FileReport) -> list[str]:
    remarks = []
    if file.damage:
        remarks.append(f"{file.path}: {file.damage}; everything before it was imported")
    if file.truncated:
        remarks.append(f"{file.path}: {file.truncated:,} packet(s) not whole in the file; what is there was used")
    if file.missing_time:
        remarks.append(f"{file.path}: {file.missing_time:,} packet(s) without a time; that of the one before was taken")
    if file.skipped_blocks:
        remarks.append(f"{file.path}: {file.skipped_blocks:,} block(s) of unknown kind skipped")
    return remarks
