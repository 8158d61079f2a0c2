"""`rokubox uploads`: what waits to be delivered, what the targets say, what was given up."""

import argparse

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.failures import INPUT, OK
from storage.archive import Archive

DEFAULT_LIMIT = 20
EPILOG = """\
A delivery waits until its target has proved to hold the same bytes; then its receipt goes into the ledger and it is no
longer listed. What was given up stays in the archive and is listed until it is tried again or erased.
--retry has everything, or what waits for one target, tried now, also what was given up.
配送待ち、配送先の状態、断念した配送を表示します。--retry で直ちに再試行します（断念したものも含む）。

examples:
  rokubox uploads --archive archive
  rokubox uploads --config rokubox.toml --json
  rokubox uploads --config rokubox.toml --retry
  rokubox uploads --config rokubox.toml --retry backup
"""


def add(commands: Commands) -> None:
    """Declare `rokubox uploads`."""
    parser = command(
        commands,
        "uploads",
        help="show what waits to be delivered, and why",
        description="Show the delivery queue: targets, last errors, the oldest that waits, what was given up.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument(
        "--limit", type=int, default=DEFAULT_LIMIT, metavar="N", help=f"deliveries listed (default: {DEFAULT_LIMIT})"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parser.add_argument("--retry", nargs="?", const="", metavar="TARGET", help="try everything (of one target) now")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    import time

    from appliance.presentation import uploadstable
    from uploader import queueview
    from uploader.clock import Now
    from uploader.deliveryqueue import DeliveryQueue
    from uploader.errors import QueueError
    from uploader.queueview import QueueView
    from uploader.survey import survey

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if not queueview.exists(archive.root):
        raise QueueError(f"{archive.root} has no delivery queue: rokubox-upload never ran on it")
    if arguments.retry is not None:
        with DeliveryQueue(archive.root) as queue:
            now = Now(running_s=queue.running_s, wall_ns=time.time_ns())
            again = queue.try_again(now, arguments.retry or None)
        tell(f"everything that waits is tried now; {again} that were given up are tried again")
        return OK
    with QueueView(archive.root) as queue:
        now = Now(running_s=queue.running_s, wall_ns=time.time_ns())
        report = uploadstable.report(survey(queue, configuration.deliveries(), now), queue, now, arguments.limit)
    if arguments.json:
        uploadstable.print_json(report)
    else:
        uploadstable.show(report, configuration.zone)
    return OK
