"""`rokubox scrub`: read the archive again, a little at a time, to find bit rot."""

import argparse
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.failures import INPUT

if TYPE_CHECKING:
    from storage.verify.defects import Defect
    from storage.verify.scrubbing import ScrubRun

EPILOG = """\
While `rokubox record` runs, it is started by itself. Each run reads the whole ledger, and as many days of recordings as
it takes to have read everything within the period: when nobody else reads, and no faster than the rate. A run that is
stopped goes on with the next. Where it is, and what is wrong at present, is in run/scrub.json of the archive.

examples:
  rokubox scrub --archive archive
  rokubox scrub --archive archive --period-days 7 --rate-mb-s 100

exit codes: as `rokubox verify`, for what this run has read
"""


def add(commands: Commands) -> None:
    """Declare `rokubox scrub`."""
    parser = command(
        commands,
        "scrub",
        help="read what is due of an archive again, to find bit rot",
        description="Read the ledger, and the days of recordings that are due, and name every defect.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument(
        "--period-days",
        type=_positive,
        metavar="DAYS",
        help="read everything in so many days (default: configured, 30)",
    )
    parser.add_argument(
        "--rate-mb-s", type=_positive, metavar="MB", help="read at most so much a second (default: configured, 20)"
    )
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="the next run goes on where this one was")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _run(arguments: argparse.Namespace) -> int:
    from appliance import idlepriority
    from storage.verify import scrubbing
    from storage.verify.defects import exit_code
    from storage.verify.scrub import DAY_NS, SlowReader

    configuration = configuration_of(arguments)
    archive, settings = archive_of(arguments, configuration), configuration.storage
    idlepriority.take()
    done = scrubbing.run(
        archive,
        period_ns=round((arguments.period_days or settings.scrub_period_days) * DAY_NS),
        now_ns=time.time_ns,
        reader=SlowReader((arguments.rate_mb_s or settings.scrub_rate_mb_s) * 1e6, time.monotonic, time.sleep),
        told=_tell,
    )
    print(_summary(done), file=sys.stdout)
    return exit_code(done.defects)


def _tell(defect: "Defect") -> None:
    """One line for the log, without callers' numbers."""
    tell(f"scrub: {defect.kind}: {defect.subject}: {defect.what}")


def _summary(done: "ScrubRun") -> str:
    whole_ns = done.state.last_whole_round_ns
    whole = datetime.fromtimestamp(whole_ns // 1_000_000_000).astimezone().isoformat() if whole_ns else "not yet"
    days, defects = len(done.days), len(done.defects)
    return (
        f"{days} day{'s' * (days != 1)}, {done.read_bytes / 1e6:,.1f} MB read, "
        f"{defects or 'no'} defect{'s' * (defects != 1)}; the whole archive was read last: {whole}"
    )
