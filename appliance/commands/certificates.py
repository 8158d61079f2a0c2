"""`rokubox certificates`: which certificates are in use, how long they are valid, and their replacement."""

import argparse
from pathlib import Path

from appliance.commands.arguments import Commands, command, configuration_of
from appliance.failures import INPUT, OK

EPILOG = """\
A new certificate and its key may as well be dropped in place of the old files: rokubox-agent takes them up by itself
once both are there and belong together. Nothing has to be restarted. Exit code 3: one cannot be used, or is over.
証明書の有効期限を表示し、新しい証明書と鍵を設置します。再起動は不要です。

examples:
  rokubox certificates --config rokubox.toml
  rokubox certificates --config rokubox.toml --install new.pem new.key
"""


def add(commands: Commands) -> None:
    """Declare `rokubox certificates`."""
    parser = command(
        commands,
        "certificates",
        help="show and replace the certificates 証明書",
        description="Show the certificates that telemetry uses and how long they are valid; put new ones in place.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--install", nargs=2, type=Path, metavar=("CERTIFICATE", "KEY"), help="put this pair in place (PEM)"
    )
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed, or all of it")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.errors import ConfigurationError
    from appliance.telemetry import certificates

    configuration = configuration_of(arguments)
    if arguments.install is not None:
        certificate, key = arguments.install
        found = certificates.install(configuration.mqtt, certificate, key, certificates.utc_now())
        print(f"installed / 設置しました: {found.subject}, valid until {found.not_after:%F %H:%M} UTC")
        return OK
    files = [
        ("mqtt client", configuration.mqtt.certificate_file, configuration.mqtt.key_file),
        ("mqtt authority", configuration.mqtt.ca_file, ""),
    ]
    if not any(certificate for _, certificate, _ in files):
        raise ConfigurationError("no certificates are configured: see ca_file, certificate_file in [mqtt]")
    told = [_tell(purpose, Path(file), key) for purpose, file, key in files if file]
    return OK if all(told) else INPUT


def _tell(purpose: str, file: Path, key: str) -> bool:
    """Say how it is with one; whether it can be used."""
    from appliance.errors import CertificateError
    from appliance.telemetry import certificates

    try:
        found = certificates.read_pair(file, Path(key)) if key else certificates.read(file)
    except CertificateError as error:
        print(f"{purpose}: {error}")
        return False
    days = found.days_left(certificates.utc_now())
    left = f"{days:.0f} days left / 残り {days:.0f} 日" if days >= 0 else "OVER / 期限切れ"
    print(f"{purpose}: {found.subject}, until {found.not_after:%F %H:%M} UTC, {left} ({file})")
    return days >= 0
