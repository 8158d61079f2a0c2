"""`rokubox verify`: files, ledger, signatures and index against each other."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.errors import ConfigurationError
from appliance.failures import INPUT
from appliance.presentation.terminal import printable

if TYPE_CHECKING:
    from storage.verify.defects import Defect
    from storage.verify.trust import Seen
    from storage.verify.verification import Report

EPILOG = """\
Works on the archive or on a copy of it. Without --public-key the archive's own key is believed, which proves nothing
against whoever can write to it. An older checkpoint that was kept elsewhere (recordings/checkpoint.txt as it was then,
or one from ledger/checkpoints/) proves that nothing before it was altered, removed or added since.
A PATH outside the archive is verified by the proof beside it (NAME.proof.txt), as exports hold it.

examples:
  rokubox verify --archive archive
  rokubox verify --archive archive --since 2026-01-01 --public-key device-key.pem --checkpoint kept.txt
  rokubox verify export/originals/NAME.zip --public-key device-key.pem

exit codes:
  0 no defects        12 unexpected file           15 index differs
  10 altered          13 ledger broken or forked   16 several of these
  11 missing          14 signature or key
"""


def add(commands: Commands) -> None:
    """Declare `rokubox verify`."""
    parser = command(
        commands,
        "verify",
        help="prove that an archive is as it was recorded",
        description="Check recordings, call records, ledger, signatures and index against each other, and name every "
        "defect.",
        epilog=EPILOG,
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="only these files or folders")
    parser.add_argument("--all", action="store_true", help="the whole archive; so it is without PATH and --since")
    parser.add_argument("--since", type=_day, metavar="DATE", help="only files from this local date on, YYYY-MM-DD")
    archive_argument(parser)
    parser.add_argument(
        "--public-key",
        dest="keys",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="public key to believe, PEM; repeat for several",
    )
    parser.add_argument(
        "--checkpoint",
        dest="checkpoints",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="older checkpoint kept elsewhere; repeat for several",
    )
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing is proved")


def _day(text: str) -> int:
    from datetime import date

    try:
        return int(date.fromisoformat(text).strftime("%Y%m%d"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write one like 2026-01-31") from None


def _run(arguments: argparse.Namespace) -> int:
    from storage.ledger import devicekey
    from storage.verify.defects import exit_code

    if arguments.all + (arguments.since is not None) + bool(arguments.paths) > 1:
        raise ConfigurationError("give PATH, --all or --since, not several of them")
    keys = tuple(devicekey.read_public(path) for path in arguments.keys)
    report = _verified(arguments, keys)
    (_show_json if arguments.json else _show)(report)
    return exit_code(report.defects)


def _verified(arguments: argparse.Namespace, keys: tuple[bytes, ...]) -> "Report":
    from appliance.presentation import progress
    from storage.verify.verification import Request, verify

    proofs = _proofs(arguments.paths)
    if proofs and len(proofs) == len(arguments.paths) and arguments.archive is None:
        return _proved(proofs, keys)
    archive = archive_of(arguments, configuration_of(arguments))
    paths = tuple(path.resolve() for path in arguments.paths)
    for given, path in zip(arguments.paths, paths, strict=True):
        if not path.exists() or not path.is_relative_to(archive.resolve()):
            raise ConfigurationError(f"{given} is not in the archive, and has no proof beside it")
    request = Request(
        archive=archive.resolve() if paths else archive,
        since=arguments.since,
        paths=paths,
        public_keys=keys,
        checkpoints=tuple(_checkpoint(path) for path in arguments.checkpoints),
    )
    with progress.shown("verifying") as shown:
        return verify(request, shown)


def _proofs(paths: list[Path]) -> dict[Path, Path]:
    from storage.verify import proofcheck

    return {path: proof for path in paths if (proof := proofcheck.proof_beside(path)) is not None}


def _proved(proofs: dict[Path, Path], keys: tuple[bytes, ...]) -> "Report":
    from storage.verify import proofcheck
    from storage.verify.verification import Report

    if not keys:
        raise ConfigurationError("give --public-key FILE: a proof without a key that is believed proves nothing")
    report = Report()
    for path, proof in proofs.items():
        defects = proofcheck.defects(path, proof, keys)
        report.add(defects)
        report.parts += not defects
    return report


def _checkpoint(path: Path) -> "Seen":
    from storage.errors import LedgerError
    from storage.ledger import checkpoint, note
    from storage.verify.trust import Seen

    try:
        with path.open("rb") as stored:
            found = checkpoint.parse(stored.read(note.MAX_BYTES + 1))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except LedgerError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return Seen(subject=f"the checkpoint {path.name}", path=str(path), checkpoint=found, is_ours=False)


def _show(report: "Report") -> None:
    from appliance.presentation import terminal

    console = terminal.output()
    for defect in report.defects:
        console.print(printable(_line(defect)))
    if report.further:
        console.print(f"and {report.further:,} more")
    for notice in report.notices:
        tell(f"note: {notice}")
    of = f", {report.size:,} lines of the ledger {report.origin}" if report.origin else ""
    *counted, last = [
        _counted(report.parts, "part"),
        _counted(report.calls, "call record"),
        *([f"{_counted(report.late, 'record')} of late packets"] if report.late else []),
    ]
    right = f"{', '.join(counted)} and {last} as recorded{of}"
    found = len(report.defects) + report.further
    console.print(f"{right}: {_counted(found, 'defect')}" if found else f"{right}: no defects")


def _line(defect: "Defect") -> str:
    return f"{defect.kind:<10}  {defect.path or '-'}  {defect.subject}: {defect.what}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _show_json(report: "Report") -> None:
    print(
        json.dumps(
            {
                "ok": not report.defects,
                "origin": report.origin,
                "ledger_entries": report.size,
                "parts": report.parts,
                "calls": report.calls,
                "late": report.late,
                "defects": [
                    {"kind": one.kind.value, "path": one.path, "subject": one.subject, "what": one.what}
                    for one in report.defects
                ],
                "further_defects": report.further,
                "notices": report.notices,
            },
            ensure_ascii=False,
            indent=2,
        )
    )
