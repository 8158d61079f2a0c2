"""`rokubox retention`: what the rules erase now, shown and done."""

import argparse
import os
import sys
from pathlib import Path

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.custody import attribution
from appliance.failures import INPUT, OK
from storage.archive import Archive

EPILOG = """\
The rules stand in the configuration: [storage.retention], and retention in [[enterprise]] and its lines. They act by
real elapsed time and only with a clock that a time server confirmed within 24 hours; room for new recordings is made
without it. Where no time server can be reached, or the clock is disputed (it was set, or the box was off for months),
say that it is right: --confirm-clock. While `rokubox record` runs, it does all this by itself.
保存期間を過ぎた録音を消去します。--dry-run は表示のみです。

examples:
  rokubox retention --dry-run --config rokubox.toml
  rokubox retention --config rokubox.toml
  rokubox retention --confirm-clock --why "compared with the wall clock" --config rokubox.toml
"""

_PATIENT = 10
"""What is done in the background leaves the processors to recording."""


def add(commands: Commands) -> None:
    """Declare `rokubox retention`."""
    parser = command(
        commands,
        "retention",
        help="erase what has been kept long enough",
        description="Show what the retention rules erase now, and erase it.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="show it and change nothing")
    parser.add_argument("--room", type=_bytes, default=0, metavar="BYTES", help="make room for so much, oldest first")
    parser.add_argument("--confirm-clock", action="store_true", help="say that the clock is right; needs --why")
    parser.add_argument("--automatic", action="store_true", help=argparse.SUPPRESS)
    attribution.arguments(parser, needs_why=False)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="what was erased is accounted for; run it again")


def _bytes(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError("must be a number of bytes")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    from appliance.condition import observed
    from appliance.custody import archiveclient, contractend, erasing, orders, retentionrun
    from appliance.custody.archiverequests import ConfirmClock
    from appliance.errors import ConfigurationError
    from appliance.presentation import retentiontable, terminal

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if arguments.automatic:
        os.nice(_PATIENT)
    who = "rokubox" if arguments.automatic else attribution.who(arguments)
    if arguments.confirm_clock:
        if not arguments.why:
            raise ConfigurationError("--confirm-clock: say how you know, with --why")
        with archiveclient.asking(archive, configuration) as ask:
            archiveclient.checked(ask(ConfirmClock(who=who, why=arguments.why)))
    outlook = retentionrun.look(archive, configuration, arguments.room)
    for told in outlook.damaged:
        tell(told)
    overdue = tuple(contractend.overdue(outlook, configuration))
    if arguments.automatic:
        observed.write(archive.run, observed.RETENTION, retentionrun.seen(outlook, overdue))
    else:
        retentiontable.show(terminal.output(), outlook)
        for told in overdue:
            tell(f"alarm: {told}")
    code = INPUT if outlook.damaged else OK
    if arguments.dry_run or not (outlook.plan.evictions or orders.left(archive)):
        return code
    with archiveclient.asking(archive, configuration) as ask:
        certificates = list(erasing.finish_left_over(archive, configuration, ask))
        with contractend.ordered(archive, outlook, who) as ended:
            answers = list(retentionrun.act(outlook, ask, who=who))
            for one in ended:
                erasing.certify(archive, configuration, ask, one)
            certificates += [Path(f"{one.certificate}.txt") for one in ended]
    erased, size = sum(len(one.erased) for one in answers), sum(one.bytes for one in answers)
    told = f"{erased:,} call{'s' * (erased != 1)} erased, {size:,} bytes / {erased:,} 件を消去しました"
    output = sys.stderr if arguments.automatic else sys.stdout
    print(told, file=output)
    for certificate in certificates:
        print(f"certificate of erasure / 消去証明書: {certificate}", file=output)
    return code
