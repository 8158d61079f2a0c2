"""What an import ends with: calls by outcome and reason, packets by fate, completeness."""

from rich import box
from rich.console import Console
from rich.table import Table

from appliance.assembly.tally import Tally
from appliance.importer import FileReport, ImportReport
from appliance.presentation.terminal import printable
from storage.archive import Archive


def show(console: Console, report: ImportReport, archive: Archive) -> None:
    """Print the summary of an import."""
    tally = report.publisher.tally
    console.print(_outcomes(tally))
    console.print(_fates(report))
    console.print(_completeness(tally))
    for file in report.files:
        for line in _remarks(file):
            console.print(printable(line))
    for conflict in report.publisher.conflicts:
        console.print(f"kept what was there: {conflict}")
    console.print(printable(f"recordings: {archive.recordings}"))
    console.print(printable(f"call records: {archive.records}"))
    if report.assembly.state.counters.too_late:
        console.print(printable(f"packets after the end of their call: {archive.late}"))


def _outcomes(tally: Tally) -> Table:
    table = Table("outcome", "reason", "calls", box=box.SIMPLE, title="Calls", title_justify="left")
    table.columns[2].justify = "right"
    for (outcome, reason), number in sorted(tally.outcomes.items()):
        table.add_row(outcome, reason or "-", f"{number:,}")
    table.add_row("all", "", f"{tally.outcomes.total():,}")
    return table


def _fates(report: ImportReport) -> Table:
    table = Table("packets", "", box=box.SIMPLE, title="Packets", title_justify="left")
    table.columns[1].justify = "right"
    intake, state = report.intake.counters, report.assembly.state
    signalling = state.signalling.counters
    media = _media_fates(report)
    rows = [
        ("read", intake.frames),
        ("media (RTP)", intake.media),
        *((f"  {name}", number) for name, number in media),
        ("  of no known fate", intake.media - sum(number for _, number in media)),
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


def _media_fates(report: ImportReport) -> list[tuple[str, int]]:
    """What became of every packet taken for media."""
    counters, tally = report.assembly.state.counters, report.publisher.tally
    return [
        ("in recordings", tally.packets),
        ("counted twice, in two legs of a call", -counters.shared),
        ("copies removed", tally.duplicates),
        ("too late", tally.too_late + counters.too_late),
        ("of calls, but not recordable", tally.unrecordable),
        ("not RTP after all", counters.not_rtp),
        ("not wanted by any rule", counters.not_wanted),
    ]


def _completeness(tally: Tally) -> str:
    expected, network, capture = tally.expected_samples, tally.network_lost_samples, tally.capture_lost_samples
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
    if file.odd_times:
        remarks.append(
            f"{file.path}: {file.odd_times:,} packet(s) with a time far off; that of the one before was taken"
        )
    if file.skipped_blocks:
        remarks.append(f"{file.path}: {file.skipped_blocks:,} block(s) of unknown kind skipped")
    return remarks
