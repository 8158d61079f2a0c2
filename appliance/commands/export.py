"""`rokubox export`: recordings for somebody outside, in one ZIP with proofs, or treated for a listener."""

import argparse
import time
from pathlib import Path

from appliance.commands import selection
from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.custody import attribution
from appliance.export.treatment import Encoding, Treatment
from appliance.failures import INPUT, OK
from storage.archive import Archive

EPILOG = """\
Without further wishes the bundle holds the recordings as they lie in the archive, each with a proof that the ledger
holds it. Treated copies are made beside them, or in their place when something is to be hidden (--mask-keys, --redact,
--from, --until). Who exported what and why is entered in the ledger, without numbers.
録音を証明書付きの ZIP に書き出します。加工（ミックス、補間、キー音の消去、番号の匿名化、区間の切り出し）も可能です。

examples:
  rokubox export 0a1b2c3d --why "complaint 17" --archive archive
  rokubox export 0a1b2c3d --mix --conceal --why "to listen to" --to call.zip --archive archive
  rokubox export --number 090-1234-5678 --redact --mask-keys --why "training" --archive archive
"""


def add(commands: Commands) -> None:
    """Declare `rokubox export`."""
    parser = command(
        commands,
        "export",
        help="write recordings into a ZIP for somebody, with proofs",
        description="Write recordings into one ZIP: with proofs, or mixed, concealed, masked, redacted, cut.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    selection.arguments(parser)
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="the ZIP to write (default: export-<time>.zip in the current directory)"
    )
    parser.add_argument("--mix", action="store_true", help="both sides in one channel")
    parser.add_argument("--conceal", action="store_true", help="lost packets concealed, as a telephone does it")
    parser.add_argument("--encoding", choices=[each.value for each in Encoding], help="how samples are stored")
    parser.add_argument("--mask-keys", action="store_true", help="silence where keys were pressed, digits left out")
    parser.add_argument("--redact", action="store_true", help="no numbers and names, not in file names either")
    parser.add_argument("--from", dest="begin", type=_seconds, metavar="S", help="from this second of the call on")
    parser.add_argument("--until", dest="end", type=_seconds, metavar="S", help="up to this second of the call")
    attribution.arguments(parser, needs_why=True)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="no bundle was written")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 on")
    return value


def _treatment(arguments: argparse.Namespace) -> Treatment:
    cut = None
    if arguments.begin is not None or arguments.end is not None:
        cut = (arguments.begin or 0.0, 1e9 if arguments.end is None else arguments.end)
    return Treatment(
        mix=arguments.mix,
        conceal=arguments.conceal,
        encoding=Encoding(arguments.encoding) if arguments.encoding else None,
        mask_keys=arguments.mask_keys,
        redact=arguments.redact,
        cut_s=cut,
    )


def _run(arguments: argparse.Namespace) -> int:
    from appliance.export import exporting
    from appliance.presentation.progress import shown

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    calls = selection.selected(arguments, archive)
    target = arguments.to or Path(f"export-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.zip")
    wish = exporting.Wish(
        target=target, treatment=_treatment(arguments), who=attribution.who(arguments), why=arguments.why
    )
    with shown("exporting") as progress:
        manifest = exporting.export(archive, configuration, calls, wish, progress)
    recordings = sum(1 for file in manifest.files if file.name.endswith((".zip", ".wav")))
    print(f"{len(calls):,} calls, {recordings:,} recordings / {len(calls):,} 通話、録音 {recordings:,} 件: {target}")
    return OK
