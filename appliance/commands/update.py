"""`rokubox update`: a signed bundle into the slot that is not running, a restart, and how that went."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, command, configuration_of, tell
from appliance.failures import OK, OUTPUT

if TYPE_CHECKING:
    from appliance.config import Configuration
    from appliance.firmware.updating import Fetch

MEDIUM_S = 2400.0
"""How long the end of a trial is waited for, to be told on the medium."""
EPILOG = """\
The whole bundle is checked, signature and every byte, before anything is written; it goes into the slot that is not
running. Then the box restarts: it does not record for a minute or two, which is announced to the NOC and stands in the
outage ledger. The new version is on trial: when services do not stay up, or a known call is not recorded, three times,
the version before runs again and says why (alarm 406). Nothing older than what runs is taken without --allow-older.
署名と全バイトを検査してから予備側に書き込み、再起動します。新しい版が正常に動かない場合は自動的に元の版へ戻ります。

examples:
  rokubox update /media/usb/rokubox-0.2.0.raucb
  rokubox update https://updates.example.jp/rokubox/rokubox-0.2.0.raucb --config /etc/rokubox/rokubox.toml
  rokubox update --status
"""


def add(commands: Commands) -> None:
    """Declare `rokubox update`."""
    parser = command(
        commands,
        "update",
        help="install a signed update of the appliance's image 更新",
        description="Install a signed update of the appliance's image, or show how the last one went.",
        epilog=EPILOG,
    )
    parser.add_argument("source", nargs="?", default="", metavar="FILE|URL", help="bundle (*.raucb)")
    parser.add_argument("--status", action="store_true", help="show how the update stands, or how the last one went")
    parser.add_argument("--json", action="store_true", help="the status as one JSON object")
    parser.add_argument("--allow-older", action="store_true", help="take a version older than the one that runs")
    parser.add_argument("--again", action="store_true", help="take a bundle again that was rolled back before")
    parser.add_argument("--asked", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--medium", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    parser.add_argument("--booted", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--trial", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--steady-s", type=float, default=60.0, help=argparse.SUPPRESS)
    parser.add_argument("--limit-s", type=float, default=600.0, help=argparse.SUPPRESS)
    parser.set_defaults(run=_run, archive_code=OUTPUT, interrupted="the running system is as it was")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.errors import ConfigurationError

    configuration = configuration_of(arguments)
    if arguments.trial:
        return _trial(arguments, configuration)
    if arguments.booted:
        return _booted()
    if arguments.status:
        return _status(arguments, configuration)
    if arguments.medium:
        return _medium(arguments.medium)
    if arguments.asked:
        return _asked(arguments.asked, configuration)
    if not arguments.source:
        raise ConfigurationError("say which bundle: a file or a URL; or --status")
    source, fetch = _fetch(arguments.source, configuration)
    _update(source, fetch, allows_older=arguments.allow_older, tries_again=arguments.again)
    tell("installed; the box restarts now, and judges the new version  インストールしました。再起動します。")
    return OK


def _update(source: str, fetch: "Fetch", *, allows_older: bool = False, tries_again: bool = False) -> None:
    from appliance.firmware.updating import Update, UpdateSettings
    from appliance.version import VERSION

    settings = UpdateSettings(running=VERSION, allows_older=allows_older, tries_again=tries_again)
    Update(settings, source, tell).run(fetch)


def _fetch(source: str, configuration: "Configuration") -> "tuple[str, Fetch]":
    from appliance.firmware import fetching

    if "://" in source:
        sources = configuration.update
        proxy = configuration.management.proxy
        return "url", lambda target: fetching.download(source, target, proxy=proxy, ca_file=sources.ca_file)
    return "file", lambda target: fetching.copy(Path(source), target)


def _asked(file: Path, configuration: "Configuration") -> int:
    """An update that somebody at a distance has asked for: from nowhere but where the configuration allows."""
    from appliance.errors import BundleError
    from appliance.firmware import fetching
    from appliance.firmware.updatestatus import Reason

    url = fetching.requested(file)

    def fetch(target: Path) -> None:
        if not fetching.is_allowed(url, configuration.update.sources):
            raise BundleError(Reason.NOT_ALLOWED, "not a URL below one of [update] sources")
        _fetch(url, configuration)[1](target)

    _update("url", fetch)
    return OK


def _medium(folder: Path) -> int:
    """An update that was plugged in; what came of it is written there."""
    from appliance.errors import ApplianceError
    from appliance.firmware import bootedslots, fetching, mediumanswer, updatestatus

    if "trial" in bootedslots.arguments():
        mediumanswer.wait_for_end(MEDIUM_S)
    try:
        found = fetching.only_one(folder)
        if found is None:
            return OK
        _update("medium", lambda target: fetching.copy(found, target))
    except (ApplianceError, OSError) as error:
        mediumanswer.write(folder, updatestatus.read(), str(error))
        raise
    mediumanswer.write(folder, updatestatus.read(), "")
    return OK


def _trial(arguments: argparse.Namespace, configuration: "Configuration") -> int:
    from appliance import clocks
    from appliance.firmware import bootedslots, trial
    from appliance.version import VERSION
    from storage.archive import Archive

    settings = trial.TrialSettings(
        archive=Archive(Path(configuration.storage.archive)),
        slot=bootedslots.arguments()["slot"],
        boot_id=clocks.read().boot_id,
        running=VERSION,
        steady_s=arguments.steady_s,
        limit_s=arguments.limit_s,
    )
    try:
        trial.run(settings)
    except trial.TrialError as error:
        tell(f"on trial, and not good ({error.reason}): {error}")
        return OUTPUT
    tell(f"version {VERSION} is good")
    return OK


def _booted() -> int:
    from appliance.firmware import bootedslots, manager, trial, updatestatus

    slot = bootedslots.arguments()["slot"]
    settled = trial.booted(updatestatus.FOLDER, slot, lambda: manager.up_since_ns(trial.CAPTURE))
    if settled is not None:
        tell(f"update to version {settled.version or '?'}: {settled.state} {settled.reason or ''}")
    return OK


def _status(arguments: argparse.Namespace, configuration: "Configuration") -> int:
    from appliance.presentation import updatereport

    updatereport.show(configuration.zone, as_json=arguments.json)
    return OK
