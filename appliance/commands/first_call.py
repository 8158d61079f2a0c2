"""`rokubox first-call`: the technician's guided check, with a real call."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.custody import attribution
from appliance.failures import INPUT, OK

if TYPE_CHECKING:
    from appliance.config import Configuration
    from appliance.diagnosis.firstcall import Checked
    from storage.archive import Archive
    from storage.call_record import CallRecord

LOOK_S = 0.5
SIGNED_S = 15.0
"""How long the ledger may take for a part that is finished."""
EPILOG = """\
Start recording first. Then run this, make a call when you are asked to, let both sides speak for ten seconds, hang up.
The result goes into the ledger. When no call is seen, or something is wrong with it, everything is checked as
`rokubox selftest` does, and you are told whose fault it is.
設置時の通話確認です。案内に従って電話を 1 回かけ、双方が話してから切ってください。結果は台帳に残ります。

examples:
  rokubox first-call --config rokubox.toml
  rokubox first-call --config rokubox.toml --wait 600 --why "moved to the new switch"

exit codes: 0 passed; else as `rokubox selftest`, 22 when it finds nothing
"""


def add(commands: Commands) -> None:
    """Declare `rokubox first-call`."""
    parser = command(
        commands,
        "first-call",
        help="make a call and see it recorded, both sides, verified 通話確認",
        description="Guide a technician through a first call: it is seen, both sides are heard, it is verified.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument(
        "--wait", type=float, default=300.0, metavar="SECONDS", help="how long to wait for a call (300)"
    )
    parser.add_argument("--interface", action="append", default=[], help="mirror port (default: [[span]] interface)")
    attribution.arguments(parser, needs_why=False)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was entered in the ledger")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.condition import observed
    from appliance.diagnosis import firstcall
    from appliance.diagnosis.observing import WIRE_FRESH_NS
    from appliance.diagnosis.wire import wirefile
    from storage.archive import Archive

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    report = observed.read(archive.run, wirefile.NAME, wirefile.Report)
    if report is None or time.time_ns() - report.at_ns > WIRE_FRESH_NS:
        _say(
            "録音が動作していません。rokubox record を起動してください。", "The recorder does not run: start it first."
        )
        return _blame(arguments, configuration, archive)
    record = _wait(archive, arguments.wait)
    checks: tuple[Checked, ...] = ()
    if record is not None:
        _say("通話を確認しました。", "Here it is.")
        checks = firstcall.checked(record, verified=_verified(archive, record))
        for each in checks:
            name = firstcall.CHECKS[each.name]
            print(f"  {'OK' if each.passed else 'NG'}  {name.ja} / {name.en}: {each.said}", flush=True)
    passed = record is not None and all(each.passed for each in checks)
    _enter(arguments, configuration, archive, record, checks, passed=passed)
    if passed:
        _say("合格です。結果を台帳に記録しました。", "Passed. The result is in the ledger.")
        return OK
    return _blame(arguments, configuration, archive)


def _say(japanese: str, english: str) -> None:
    print(f"{japanese}\n{english}", flush=True)


def _wait(archive: "Archive", wait_s: float) -> "CallRecord | None":
    """Wait for the record of a call that was answered, and tell what is seen meanwhile."""
    from appliance.condition import observed
    from appliance.diagnosis.wire import wirefile
    from storage.archive import read_record

    known = set(_records(archive))
    _say(
        "今すぐ電話を 1 回かけ、双方で 10 秒ほど話してから切ってください。",
        "Call now: let both sides speak for ten seconds, then hang up.",
    )
    until_s, told = time.monotonic() + wait_s, False
    before = observed.read(archive.run, wirefile.NAME, wirefile.Report)
    begun = 0 if before is None else before.wire.media.from_lan.packets + before.wire.media.from_vpn.packets
    while time.monotonic() < until_s:
        for path in sorted(set(_records(archive)) - known):
            known.add(path)
            record = read_record(path)
            if record.answered_at is not None:
                return record
        now = observed.read(archive.run, wirefile.NAME, wirefile.Report)
        packets = 0 if now is None else now.wire.media.from_lan.packets + now.wire.media.from_vpn.packets
        if not told and packets > begun:
            told = True
            _say("音声を検出しました。通話を終えてください。", "Speech is coming in. Hang up when you are done.")
        time.sleep(LOOK_S)
    _say(f"{wait_s:.0f} 秒以内に通話が終わりませんでした。", f"No call was over within {wait_s:.0f} s.")
    return None


def _records(archive: "Archive") -> list[Path]:
    """Records of calls of the latest two days that there are."""
    days = sorted(archive.root.glob("calls/*/*/*"))[-2:]
    return [path for day in days for path in day.glob("*.json") if not path.name.startswith(".")]


def _verified(archive: "Archive", record: "CallRecord") -> bool:
    """Whether every part is proved by the ledger; it may take a moment until it is there."""
    from storage.errors import StorageError
    from storage.verify import proofcheck, proving

    until_s = time.monotonic() + SIGNED_S
    while record.parts:
        try:
            proofs = [proving.prove(archive.ledger, record.call_id, part.number) for part in record.parts]
            paths = [archive.part_path(part.name) for part in record.parts]
            return all(proofcheck.is_proved(path, found) for path, found in zip(paths, proofs, strict=True))
        except StorageError:
            if time.monotonic() > until_s:
                return False
        time.sleep(LOOK_S)
    return False


def _enter(
    arguments: argparse.Namespace,
    configuration: "Configuration",
    archive: "Archive",
    record: "CallRecord | None",
    checks: "tuple[Checked, ...]",
    *,
    passed: bool,
) -> None:
    from appliance.custody.archiveclient import asking, checked
    from appliance.custody.archiverequests import Trial

    trial = Trial(
        calls=() if record is None else (record.call_id,),
        outcome="passed" if passed else "failed",
        checks={each.name: f"{'ok' if each.passed else 'ng'}: {each.said}" for each in checks},
        who=attribution.who(arguments),
        why=arguments.why or "first call",
    )
    with asking(archive, configuration) as ask:
        checked(ask(trial))


def _blame(arguments: argparse.Namespace, configuration: "Configuration", archive: "Archive") -> int:
    """Something is wrong: check everything, and tell whose it is."""
    from appliance.commands.selftest import gather
    from appliance.diagnosis.verdict import verdict
    from appliance.presentation import terminal, verdicttable

    found = verdict(gather(configuration, archive, tuple(arguments.interface)))
    terminal.output().print(verdicttable.table(found, configuration.zone))
    return found.exit_code or 22
