"""`rokubox noc`: a fleet of boxes as their broker tells of them."""

import argparse
import re
import time
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, command, configuration_of
from appliance.failures import INPUT, OK

if TYPE_CHECKING:
    from appliance.noc.feed import Feed
    from appliance.noc.fleet import Fleet
    from appliance.telemetry.settings import MqttSettings

SETTLE_S = 0.5
"""What is retained has come when nothing came for so long."""
MOST_S = 15.0
EPILOG = """\
One line a box, those first that need somebody: state (stale: silent for three of its intervals), alarms by severity,
calls of the day, completeness, disk. Enter shows a box with everything, h the history of alarms. In a pipe, or with
--once, the fleet is printed once. The broker is that of [mqtt] in --config, or the one named here.
多数の装置を一覧表示します。1 行が 1 台で、対応が必要な装置から並びます。

examples:
  rokubox noc --broker noc.example.jp --ca noc-ca.pem --certificate me.pem --key me.key
  rokubox noc --config rokubox.toml --customer "Example K.K."
  rokubox noc --config rokubox.toml --once --json | jq -r 'select(.state != "online") | .serial'
"""


def add(commands: Commands) -> None:
    """Declare `rokubox noc`."""
    parser = command(
        commands,
        "noc",
        help="watch a fleet of boxes over MQTT 監視",
        description="Show every box that a broker tells of: state, alarms, calls, completeness, disk.",
        epilog=EPILOG,
    )
    parser.add_argument("--broker", default="", metavar="HOST[:PORT]", help="broker (default: [mqtt] host)")
    parser.add_argument("--ca", default="", metavar="FILE", help="authorities that may vouch for it (PEM)")
    parser.add_argument("--certificate", default="", metavar="FILE", help="our certificate (PEM)")
    parser.add_argument("--key", default="", metavar="FILE", help="its key (PEM)")
    parser.add_argument("--plain", action="store_true", help="without TLS; the broker is on this machine")
    parser.add_argument("--customer", default="+", metavar="NAME", help="only boxes of this customer")
    parser.add_argument("--once", action="store_true", help="print what is known, and end")
    parser.add_argument("--json", action="store_true", help="with --once: one JSON object a box")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.noc import screen
    from appliance.noc.feed import Feed
    from appliance.noc.fleet import Fleet
    from appliance.presentation import terminal
    from appliance.telemetry import topics

    customer = "+" if arguments.customer == "+" else topics.level(arguments.customer)
    feed, fleet = Feed(_settings(arguments), customer), Fleet()
    console = terminal.output()
    with feed:
        if arguments.once or arguments.json or not console.is_terminal:
            _settle(feed, fleet)
            _print(fleet, as_json=arguments.json)
        else:
            screen.run(feed, fleet, console)
    return OK


def _settings(arguments: argparse.Namespace) -> "MqttSettings":
    """The broker of the configuration, with what the command line says instead. Raises ConfigurationError."""
    from dataclasses import replace

    from appliance.errors import ConfigurationError
    from appliance.telemetry.settings import is_loopback

    settings = configuration_of(arguments).mqtt
    if arguments.broker:
        host, port = _host_and_port(arguments.broker)
        default = 1883 if arguments.plain else 8883
        settings = replace(settings, host=host, port=int(port or default), tls=not arguments.plain)
    files = {"ca_file": arguments.ca, "certificate_file": arguments.certificate, "key_file": arguments.key}
    settings = replace(settings, **{name: file for name, file in files.items() if file})
    if not settings.host:
        raise ConfigurationError("no broker: give --broker HOST, or [mqtt] host in --config FILE")
    if not settings.tls and not is_loopback(settings.host):
        raise ConfigurationError("without TLS the broker has to be on this machine (127.0.0.1, ::1 or localhost)")
    return settings


def _host_and_port(broker: str) -> tuple[str, str]:
    """`noc.example`, `noc.example:8883`, `192.0.2.1:8883`, `::1`, `[::1]:8883`. Raises ConfigurationError."""
    from appliance.errors import ConfigurationError

    named = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+:.*:.*)", broker)
    host, port = (named[1] or named[3] or named[5], named[2] or named[4] or "") if named else ("", "")
    if not host or (port and not 0 < int(port) < 65536):
        raise ConfigurationError(f"--broker {broker}: write HOST, HOST:PORT or [ADDRESS]:PORT")
    return host, port


def _settle(feed: "Feed", fleet: "Fleet") -> None:
    """Take in what is retained: it comes at once, until nothing more does."""
    from appliance.errors import RequestError

    deadline = time.monotonic() + MOST_S
    quiet_s = time.monotonic() + 2 * SETTLE_S
    while time.monotonic() < min(deadline, quiet_s) or not feed.is_connected:
        arrived = feed.take()
        for one in arrived:
            fleet.take(one.topic, one.payload, one.at_ns, retained=one.retained)
        if arrived:
            quiet_s = time.monotonic() + SETTLE_S
        if feed.failure is not None or time.monotonic() > deadline:
            reason = "it does not answer" if feed.failure is None else f"{feed.failure.reason}: {feed.failure.detail}"
            raise RequestError(f"the broker cannot be reached: {reason}")
        time.sleep(0.02)


def _print(fleet: "Fleet", *, as_json: bool) -> None:
    from appliance.noc import summary, view
    from appliance.presentation import terminal

    now_ns = time.time_ns()
    boxes = fleet.sorted(now_ns)
    if as_json:
        for box in boxes:
            print(summary.line(box, now_ns))
    else:
        terminal.output().print(view.overview(fleet, boxes, now_ns, None))
