"""`rokubox support-bundle`: what support needs, in one file, redacted."""

import argparse
from datetime import datetime
from pathlib import Path

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import INPUT, OK

EPILOG = """\
One ZIP: verdict and evidence, report, versions, configuration, counters, condition of the archive, logs. No speech and
no caller's or line's number is ever in it; names and the carrier's addresses only with --whole.
サポート用の情報を 1 つの ZIP にまとめます。音声・電話番号は含みません。

examples:
  rokubox support-bundle --config rokubox.toml --output /tmp
"""


def add(commands: Commands) -> None:
    """Declare `rokubox support-bundle`."""
    parser = command(
        commands,
        "support-bundle",
        help="gather what support needs, redacted サポート情報",
        description="Check everything, and gather what support needs in one ZIP.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder that the ZIP is written to")
    parser.add_argument("--whole", action="store_true", help="with names and the carrier's confidential details")
    parser.add_argument("--interface", action="append", default=[], help="mirror port (default: [[span]] interface)")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="no bundle was written")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.commands.selftest import gather
    from appliance.diagnosis.report import redaction, repair
    from appliance.diagnosis.support import supportbundle
    from appliance.diagnosis.verdict import verdict
    from appliance.show.labels import Language
    from storage.archive import Archive

    configuration, whole = configuration_of(arguments), arguments.whole
    archive = Archive(archive_of(arguments, configuration))
    evidence = gather(configuration, archive, tuple(arguments.interface))
    evidence = evidence if whole else redaction.redacted(evidence)
    found, site = verdict(evidence), configuration.site
    box = repair.Box(
        customer=site.customer if whole else "***",
        site=site.site if whole else "***",
        serial=site.serial,
        zone=configuration.zone,
        key_fingerprint="",
    )
    material = supportbundle.Material(
        configuration=configuration,
        archive=archive,
        evidence=evidence,
        verdict=found,
        report=repair.report(box, evidence, found, (Language.JA, Language.EN), is_redacted=not whole),
        whole=whole,
    )
    at = datetime.fromtimestamp(found.at_ns // 1_000_000_000, configuration.zone)
    path = arguments.output / f"support_{site.serial or 'rokubox'}_{at:%Y%m%dT%H%M%S%z}.zip".replace("/", "_")
    supportbundle.write(material, path)
    print(path)
    return OK
