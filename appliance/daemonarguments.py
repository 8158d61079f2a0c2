"""Arguments of the daemons to settings, errors to exit codes.

systemd starts them, or `rokubox record` does; both give them the same arguments.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance import config, processmemory
from appliance.assembly.settings import AssemblySettings, Record
from appliance.config import Configuration
from appliance.errors import ConfigurationError
from appliance.failures import failure
from appliance.supervision import servicelog
from appliance.version import software
from storage.archive import Archive
from storage.disk import UMASK
from storage.vocabulary import Source


def capture(argv: Sequence[str] | None) -> int:
    """Run `rokubox-capture`."""
    return _run("rokubox-capture", "Write what the mirror ports show into the journal.", _capture, argv)


def assemble(argv: Sequence[str] | None) -> int:
    """Run `rokubox-assemble`."""
    return _run("rokubox-assemble", "Make recordings and call records from the journal.", _assemble, argv)


def agent(argv: Sequence[str] | None) -> int:
    """Run `rokubox-agent`."""
    return _run("rokubox-agent", "Watch the box, raise alarms and tell the NOC.", _agent, argv, records=False)


def upload(argv: Sequence[str] | None) -> int:
    """Run `rokubox-upload`."""
    purpose = "Deliver finished recordings to the targets of the configuration."
    return _run("rokubox-upload", purpose, _upload, argv, records=False)


def _run(
    name: str,
    purpose: str,
    start: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    *,
    records: bool = True,
) -> int:
    parser = argparse.ArgumentParser(prog=name, description=purpose)
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration in TOML")
    parser.add_argument("--archive", type=Path, metavar="DIR", help="archive; goes before [storage] archive")
    if records:
        parser.add_argument("--interface", action="append", default=[], help="mirror port; repeat for several")
        parser.add_argument("--record", choices=[choice.value for choice in Record], help="which calls")
        parser.add_argument(
            "--take-over", type=int, default=0, metavar="PID", help="process to be replaced without a gap"
        )
    parser.add_argument("--errands", type=Path, metavar="DIR", help="where the service manager is asked to do things")
    parser.add_argument("--supervisor", type=int, default=0, metavar="PID", help="process that started this one")
    processmemory.keep()
    os.umask(UMASK)
    try:
        return start(parser.parse_args(argv))
    except Exception as error:
        code, lines = failure(error)
        for line in lines:
            servicelog.say(name, line, PRIORITY="3", ROKUBOX_EXIT_CODE=str(code))
        return code


def _capture(arguments: argparse.Namespace) -> int:
    from appliance.capturing import capturedaemon  # what the other daemon needs is not loaded
    from appliance.capturing.settings import CaptureSettings
    from storage.volume import volume

    configuration = _configuration(arguments)
    archive = Archive(_archive(arguments, configuration))
    interfaces = arguments.interface or [span.interface for span in configuration.span if span.interface]
    if not interfaces:
        raise ConfigurationError("no mirror port: give --interface NAME, or [[span]] interface in --config FILE")
    storage = configuration.storage
    volume.require(archive.root, storage.volume_uuid)
    return capturedaemon.main(
        CaptureSettings(
            interfaces=tuple(dict.fromkeys(interfaces)),
            journal=archive.journal,
            run=archive.run,
            volume=archive.root,
            quarantine=archive.quarantine,
            sip_ports=configuration.sip_ports,
            tunnels=frozenset(tunnel for span in configuration.span for tunnel in span.tunnels),
            journal_bytes=storage.journal_max_bytes,
            journal_max_age_s=storage.journal_max_age_h * 3600,
            reserve_bytes=storage.reserve_bytes,
            configuration=configuration.text,
            take_over=arguments.take_over,
            supervisor=arguments.supervisor,
        )
    )


def _assemble(arguments: argparse.Namespace) -> int:
    from appliance.assembling import assembledaemon
    from appliance.custody.archivekeeping import KeepingSettings
    from appliance.custody.takein import DeliveredSettings

    configuration = _configuration(arguments)
    record = Record(arguments.record) if arguments.record else None
    settings = _assembly(configuration, record)
    root = _archive(arguments, configuration)
    journal = Archive(root).journal

    def find(digest: str) -> AssemblySettings | None:
        kept = config.kept(journal, digest)
        return None if kept is None else _assembly(kept, record)

    books = configuration.books(Archive(root), time.time_ns, go_on_without=True, begins=True)
    return assembledaemon.main(
        assembledaemon.AssembleSettings(
            archive=root,
            assembly=settings,
            find_settings=find,
            books=books,
            keeping=KeepingSettings(
                reserve_bytes=configuration.storage.reserve_bytes,
                pending=configuration.pending_uploads(Archive(root)).needs,
                delivered=DeliveredSettings(
                    software=software(),
                    config_digest=configuration.digest,
                    zone=configuration.zone,
                    enterprises=settings.enterprises,
                    form=settings.form,
                ),
                command=_command("retention", "--automatic", root=root, config_file=arguments.config),
                backup_command=_command("backup", root=root, config_file=arguments.config),
                backup=configuration.backup,
                scrub_command=_command("scrub", root=root, config_file=arguments.config),
                swap_command=_command("reindex", "--swap", root=root, config_file=arguments.config),
                purge_command=_command("reindex", "--purge", root=root, config_file=arguments.config),
                observe_command=_command("storage", "--observe", root=root, config_file=arguments.config),
                errands=arguments.errands,
            ),
            volume_uuid=configuration.storage.volume_uuid,
            sides=configuration.probe.sides,
            supervisor=arguments.supervisor,
        )
    )


def _agent(arguments: argparse.Namespace) -> int:
    from appliance.agent import agentdaemon, identity
    from appliance.diagnosis.observing import Watch
    from appliance.diagnosis.wire import wirefile
    from appliance.firmware import bootedslots
    from appliance.firmware.asking import UpdateDesk
    from appliance.outages.keeping import OutageKeeping
    from appliance.telemetry import statefile

    configuration = _configuration(arguments)
    root = _archive(arguments, configuration)
    archive, state = Archive(root), root / statefile.DIRECTORY
    # Without a mirror port there is nothing to be diagnosed, and nobody is asked anything. One that only capture's
    # command line names shows in what assembly counts.
    records = any(span.interface for span in configuration.span) or (archive.run / wirefile.NAME).exists()
    keeping = None
    if records:
        # What runs self-tests for us runs one every day, too, and we may write only what is ours.
        own = arguments.errands is None
        watch = Watch(configuration, archive, end_to_end=own, scratch=None if own else state)
        keeping = OutageKeeping(archive, state, watch.observe)
    code = agentdaemon.main(
        agentdaemon.AgentSettings(
            archive=root,
            identity=identity.of(configuration),
            places=identity.places(configuration),
            alarms=configuration.alarms,
            mqtt=configuration.mqtt,
            probe=configuration.probe,
            targets=configuration.target,
            observe=None if keeping is None else keeping.observe,
            selftest=_command("selftest", "--full", "--json", root=root, config_file=arguments.config),
            errands=arguments.errands,
            volume_uuid=configuration.storage.volume_uuid,
            updates=UpdateDesk(sources=configuration.update.sources) if "slot" in bootedslots.arguments() else None,
            supervisor=arguments.supervisor,
        )
    )
    sys.stderr.flush()
    os._exit(code)  # Probes that wait for an answer are not waited for.


def _upload(arguments: argparse.Namespace) -> int:
    from appliance.uploading import uploaddaemon

    configuration = _configuration(arguments)
    return uploaddaemon.main(
        uploaddaemon.UploadSettings(
            archive=_archive(arguments, configuration),
            plan=configuration.deliveries(),
            zone=configuration.zone,
            proxy=configuration.management.proxy,
            inbox=configuration.inbox,
            volume_uuid=configuration.storage.volume_uuid,
            supervisor=arguments.supervisor,
        )
    )


def _assembly(configuration: Configuration, record: Record | None) -> AssemblySettings:
    return configuration.assembly(record=record, form=None, software=software(), source=Source.SPAN)


def _command(*words: str, root: Path, config_file: Path | None) -> tuple[str, ...]:
    """A command about this archive, in a process of its own."""
    configured = ("--config", str(config_file)) if config_file else ()
    return (sys.executable, "-P", "-m", "appliance", *words, "--archive", str(root), *configured)


def _configuration(arguments: argparse.Namespace) -> Configuration:
    return Configuration() if arguments.config is None else config.read(arguments.config)


def _archive(arguments: argparse.Namespace, configuration: Configuration) -> Path:
    root = arguments.archive or configuration.storage.archive
    if not root:
        raise ConfigurationError("no archive: give --archive DIR, or [storage] archive in --config FILE")
    return Path(root)
