"""`rokubox erase`: recordings of a person, a contract or single calls, erased with a certificate."""

import argparse
import time
from pathlib import Path

from appliance.commands import selection
from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.custody import attribution
from appliance.failures import INPUT, OK, USAGE
from storage.archive import Archive

EPILOG = """\
Recordings, call records, the numbers in the index and what the journal holds of the calls go; the ledger keeps the
hashes and gains a line, without numbers. Calls under a legal hold, or in progress, stay and are named. The certificate
says what was erased, with proof: FILE.json for programs, FILE.txt in Japanese and English.
録音・通話記録・索引を消去し、消去証明書（日本語・英語）を作成します。

examples:
  rokubox erase --number 090-1234-5678 --why "request of the person" --archive archive
  rokubox erase --enterprise E0001 --why "contract ended 2026-10-31" --certificate E0001-erased --archive archive
"""


def add(commands: Commands) -> None:
    """Declare `rokubox erase`."""
    parser = command(
        commands,
        "erase",
        help="erase recordings for good, with a certificate",
        description="Erase every trace of calls but the hashes in the ledger. Shows what would go and asks first.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    selection.arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="where the certificate goes, without suffix (default: erasure-<time> in the current directory)",
    )
    attribution.arguments(parser, needs_why=True)
    parser.set_defaults(
        run=_run,
        archive_code=INPUT,
        interrupted="what was begun is finished by the archive's next owner; the next `rokubox erase` certifies it",
    )


def _run(arguments: argparse.Namespace) -> int:
    from appliance.custody import erasing
    from appliance.custody.archiveclient import asking
    from appliance.custody.orders import Order
    from appliance.presentation import terminal

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    calls = selection.selected(arguments, archive)
    terminal.output().print(erasing.table(archive, calls))
    if not calls:
        return OK
    if not arguments.yes and not _agreed(len(calls)):
        tell("nothing was erased")
        return USAGE
    stem = arguments.certificate or Path(f"erasure-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    erasing.check_writable(stem)
    order = Order(
        subject=selection.described(arguments),
        rule=selection.rule(arguments),
        who=attribution.who(arguments),
        why=arguments.why,
    )
    with asking(archive, configuration) as ask:
        for finished in erasing.finish_left_over(archive, configuration, ask):
            print(f"certificate of an erasure that was interrupted / 中断された消去の証明書: {finished}")
        certificate = erasing.erase(archive, configuration, ask, calls, order, stem)
    print(f"{certificate.calls:,} calls erased / {certificate.calls:,} 件を消去しました: {stem}.json {stem}.txt")
    for why, count in certificate.left.items():
        tell(f"{count:,} calls left: {why}")
    return INPUT if "damaged" in certificate.left else OK


def _agreed(count: int) -> bool:
    try:
        answer = input(f"erase {count:,} calls for good? type {count} / 完全に消去するには件数を入力してください: ")
    except EOFError:
        return False
    return answer.strip().replace(",", "") == str(count)
