"""`rokubox report`: the result of fault isolation as a page to be handed over, and the conformance pack."""

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.errors import ConfigurationError
from appliance.failures import INPUT

if TYPE_CHECKING:
    from appliance.diagnosis.evidence import Evidence

EPILOG = """\
One HTML page, ready to be printed or saved as PDF, in Japanese and English, and its signature with the device key
beside it (needs leave to read the key). Addresses of the carrier's equipment are left out unless --whole; callers'
numbers are never in it. Without --evidence everything is checked now, as `rokubox selftest` does.
修理依頼に添付する切分け結果報告と、技術的条件適合資料を作成します。

examples:
  rokubox report --config rokubox.toml --output reports
  rokubox selftest --config rokubox.toml --json > now.json; rokubox report --evidence now.json --output reports
  rokubox report --form conformance --language ja --config rokubox.toml --output reports

exit codes: as `rokubox selftest`
"""


def add(commands: Commands) -> None:
    """Declare `rokubox report`."""
    parser = command(
        commands,
        "report",
        help="write the report for a repair request 切分け結果報告",
        description="Write the result of fault isolation, or the conformance pack, as a signed page.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder that the page is written to")
    parser.add_argument("--form", choices=("repair", "conformance"), default="repair", help="which page")
    parser.add_argument("--language", choices=("ja", "en", "both"), default="both", help="its language")
    parser.add_argument("--whole", action="store_true", help="with the carrier's confidential details")
    parser.add_argument("--evidence", type=Path, metavar="FILE", help="what `rokubox selftest --json` wrote")
    parser.add_argument("--interface", action="append", default=[], help="mirror port (default: [[span]] interface)")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="no report was written")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.commands.selftest import gather
    from appliance.diagnosis.report import conformance, redaction, repair, signing
    from appliance.diagnosis.verdict import verdict
    from appliance.show.labels import Language
    from storage.archive import Archive

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if arguments.evidence is None:
        evidence = gather(configuration, archive, tuple(arguments.interface))
    else:
        evidence = _read(arguments.evidence)
    if not arguments.whole:
        evidence = redaction.redacted(evidence)
    found = verdict(evidence)
    key = signing.read_key(Path(configuration.storage.device_key or archive.ledger / "device.key"))
    site = configuration.site
    box = repair.Box(
        customer=site.customer,
        site=site.site,
        serial=site.serial,
        zone=configuration.zone,
        key_fingerprint=signing.fingerprint(key),
    )
    languages = {"ja": (Language.JA,), "en": (Language.EN,), "both": (Language.JA, Language.EN)}[arguments.language]
    make = repair.report if arguments.form == "repair" else conformance.pack
    page = make(box, evidence, found, languages, is_redacted=not arguments.whole)
    at = datetime.fromtimestamp(found.at_ns // 1_000_000_000, configuration.zone)
    name = f"{arguments.form}_{site.serial or 'rokubox'}_{at:%Y%m%dT%H%M%S%z}.html"
    for path in signing.write(page, arguments.output / name.replace("/", "_"), key):
        print(path)
    return found.exit_code


def _read(path: Path) -> "Evidence":
    import msgspec

    from appliance.diagnosis.evidence import Evidence

    try:
        tree = msgspec.json.decode(path.read_bytes())
        return msgspec.convert(tree["evidence"], Evidence)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: not what `rokubox selftest --json` writes") from error
