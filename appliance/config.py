"""The configuration: one TOML file, validated as a whole, every problem reported at once with its key path."""

import dataclasses
import hashlib
import pwd
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Meta

from appliance.alarms.settings import AlarmSettings
from appliance.assembly.settings import NS, AssemblySettings, Legs, Record
from appliance.boxsettings import letin, network, serial
from appliance.boxsettings.settings import SshSettings
from appliance.capturing import configtexts
from appliance.datapartition.encryption import Encryption
from appliance.diagnosis.settings import ManagementSettings, ProbeSettings
from appliance.errors import ConfigurationError
from appliance.firmware.settings import UpdateSources
from appliance.telemetry import settings as telemetry_settings
from appliance.telemetry.settings import MqttSettings
from appliance.tomltree import NOT_IN_FILE, Check, build, repeated
from capture.numbers import canonical
from capture.rules import Enterprise, LineRule
from storage.archive import Archive
from storage.backup.settings import BackupSettings
from storage.ledger.settings import Attribution, InForce, LedgerSettings
from storage.retention.policy import EnterprisePolicy, Policy, Retention, Rule
from storage.share.settings import ShareSettings
from storage.vocabulary import Form, Pcm, Source
from uploader.inbox.settings import InboxSettings
from uploader.policy import Plan, policy
from uploader.settings import DeliverySettings, TargetName, TargetSettings

if TYPE_CHECKING:
    from appliance.custody.pendinguploads import PendingUploads
    from storage.register import RegisterSettings

SIP_PORTS = (5060, 5061)
NOT_STATED = "not stated"
_UUID = re.compile(r"[0-9A-Fa-f]{4,}(-[0-9A-Fa-f]{4,})*")


def _zone_problem(name: str) -> str:
    return "" if name in available_timezones() else f"no time zone {name!r}; write one like 'Asia/Tokyo'"


def _number_problem(number: str) -> str:
    return "" if canonical(number) else "no digits or letters in it"


def _uuid_problem(uuid: str) -> str:
    return "" if not uuid or _UUID.fullmatch(uuid) else "not the UUID of a file system, as `blkid` shows it"


def _prefix_problem(prefix: str) -> str:
    return "" if canonical(prefix).startswith("00") else "must begin with 00"


def _said_problem(said: str) -> str:
    return "" if said.isprintable() else "one line of printable text"


Port = Annotated[int, Meta(ge=1, le=65535)]
Tunnel = Literal["erspan", "gre", "ipip", "vxlan", "tzsp"]
Seconds = Annotated[float, Meta(ge=0, le=60)]
Zone = Annotated[str, Check(_zone_problem)]
Said = Annotated[str, Meta(max_length=500), Check(_said_problem)]
Number = Annotated[str, Meta(min_length=1, max_length=64), Check(_number_problem)]
Prefix = Annotated[str, Meta(min_length=2, max_length=64), Check(_prefix_problem)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`[site]`: where the box stands."""

    customer: str = ""
    """Name of the customer."""
    site: str = ""
    """Name of the site."""
    serial: str = ""
    """Serial number of the box; the appliance has one of its own when empty."""
    time_zone: Zone = "Asia/Tokyo"
    """Time zone of file names and records, an IANA name."""
    changed_by: Said = ""
    """Who changed this file last, for the ledger; the file's owner when empty."""
    change_reason: Said = ""
    """Why, for the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`[[span]]`: a mirror port."""

    interface: str = ""
    """Name of the interface."""
    sip_ports: tuple[Port, ...] = SIP_PORTS
    """UDP and TCP ports that carry SIP; elsewhere it is found by its start line."""
    tunnels: tuple[Tunnel, ...] = ()
    """Tunnels that bring the mirror from elsewhere, let in from this port; an import always looks into them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`[recording]`: what recordings look like."""

    segment_s: Annotated[int, Meta(ge=30, le=86_400)] = 1800
    """Length of a part; longer calls are split without losing a sample."""
    form: Form = Form.ZIP
    """`zip`: one ZIP a part; `wav`: bare WAV and a JSON beside it."""
    pcm: Pcm = Pcm.PCM16
    """`pcm16`: linear; `g711`: exactly as received where both sides use the same law."""
    legs: Legs = Legs.ONE
    """`one`: of a call seen on both sides of a PBX, the leg nearest to the contracted line; `all`: every leg."""
    linger_s: Seconds = 0.5
    """How long after its end a call still takes packets."""
    late_s: Seconds = 5.0
    """How long after its end a part still takes packets."""
    media_timeout_s: Annotated[float, Meta(ge=30, le=86_400)] = 120.0
    """An answered call whose BYE is missing ends after this long without media, unless it is on hold."""
    hold_timeout_s: Annotated[float, Meta(ge=600, le=604_800)] = 14_400.0
    """A call on hold whose BYE is missing ends after this long without media and signalling."""
    mask_dtmf: bool = False
    """Pressed keys are shown as `x`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`[[enterprise.lines]]`: one contracted line."""

    number: Number
    """Its number, in any notation."""
    record: bool = True
    """Recording is switched on."""
    retention: Retention | None = None
    """How long its recordings are kept, in place of the enterprise's retention; None: that one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseRules:
    """`[enterprise.rules]`: what is recorded beyond the fixed rules."""

    allow_00: tuple[Prefix, ...] = ()
    """Beginnings of dialled numbers that are recorded although they begin with 00."""
    unsignalled: bool = False
    """Media that no signalling announces is recorded too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseTable:
    """`[[enterprise]]`: the lines under one enterprise ID."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    """Enterprise ID."""
    lines: tuple[Line, ...] = ()
    """Contracted lines."""
    rules: EnterpriseRules = field(default_factory=EnterpriseRules)
    """Further rules."""
    retention: Retention | None = None
    """How long its recordings are kept, in place of `[storage] retention`; None: that one."""
    targets: tuple[TargetName, ...] = ()
    """Names of the targets that its recordings are delivered to."""
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    """When, and what becomes of them here."""
    ended_on: date | None = None
    """First day on which the contract is no longer in force: from then on everything of it is erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """`[storage]`: where recordings go."""

    archive: str = ""
    """Directory of the archive."""
    journal_max_age_h: Annotated[float, Meta(ge=1, le=8760)] = 24.0
    """The journal forgets what no rule wants when it is older."""
    journal_max_bytes: Annotated[int, Meta(ge=1 << 30)] = 64 << 30
    """The journal forgets what is more, even if it is still needed."""
    reserve_bytes: Annotated[int, Meta(ge=0)] = 1 << 30
    """With less free room than this no new recording is begun; calls in progress are finished."""
    volume_uuid: Annotated[str, Check(_uuid_problem)] = ""
    """File system that the archive has to lie on; any when empty."""
    encryption: Encryption = Encryption.NONE
    """Of the image's data partition; read from the stick when that is made, at the first boot, and never again."""
    device_key: str = ""
    """File of the key that signs the ledger's checkpoints; `ledger/device.key` in the archive when empty."""
    scrub_period_days: Annotated[float, Meta(ge=1, le=3653)] = 30.0
    """Everything is read again within so long, to find bit rot."""
    scrub_rate_mb_s: Annotated[float, Meta(gt=0, le=10_000)] = 20.0
    """No faster than so many MB a second."""
    retention: Retention = field(default_factory=Retention)
    """How long recordings are kept under no enterprise ID, or under one without a rule of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The whole file."""

    site: Site = field(default_factory=Site)
    span: tuple[Span, ...] = ()
    recording: Recording = field(default_factory=Recording)
    enterprise: tuple[EnterpriseTable, ...] = ()
    storage: Storage = field(default_factory=Storage)
    management: ManagementSettings = field(default_factory=ManagementSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    share: ShareSettings = field(default_factory=ShareSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    alarms: AlarmSettings = field(default_factory=AlarmSettings)
    target: tuple[TargetSettings, ...] = ()
    inbox: InboxSettings = field(default_factory=InboxSettings)
    ssh: SshSettings = field(default_factory=SshSettings)
    update: UpdateSources = field(default_factory=UpdateSources)
    digest: str | None = field(default=None, metadata=NOT_IN_FILE)
    """SHA-256 of the text; null without a file."""
    text: bytes | None = field(default=None, repr=False, metadata=NOT_IN_FILE)
    """The text as it is in the file; None without one."""
    owner: str = field(default="", metadata=NOT_IN_FILE)
    """The user whose file it is; empty without one."""

    @property
    def sip_ports(self) -> frozenset[int]:
        """All ports that carry SIP."""
        return frozenset(port for span in self.span for port in span.sip_ports) | frozenset(SIP_PORTS)

    def assembly(
        self, *, record: Record | None, form: Form | None, software: str, source: Source = Source.IMPORT
    ) -> AssemblySettings:
        """Return what assembly is to know; `record` and `form` from the command line go first."""
        recording = self.recording
        has_lines = any(enterprise.lines for enterprise in self.enterprise)
        return AssemblySettings(
            record=record or (Record.RULES if has_lines else Record.ALL),
            enterprises=tuple(_enterprise(table) for table in self.enterprise),
            legs=recording.legs,
            form=form or recording.form,
            pcm=recording.pcm,
            segment_s=recording.segment_s,
            linger_ns=round(recording.linger_s * NS),
            late_ns=round(recording.late_s * NS),
            media_timeout_ns=round(recording.media_timeout_s * NS),
            hold_timeout_ns=round(recording.hold_timeout_s * NS),
            mask_dtmf=recording.mask_dtmf,
            zone=self.zone,
            software=software,
            config_digest=self.digest,
            source=source,
            sip_ports=self.sip_ports,
        )

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.site.time_zone)

    def books(
        self, archive: Archive, now_ns: Callable[[], int], *, go_on_without: bool = False, begins: bool = False
    ) -> "RegisterSettings":
        """Return how the archive's ledger and index are kept; `begins`: this configuration begins to be in force."""
        # Not with this module: capture, which is to be back at once, has a configuration and no books.
        from storage.register import RegisterSettings

        key = self.storage.device_key
        ledger = LedgerSettings(
            directory=archive.ledger,
            key=Path(key) if key else archive.ledger / "device.key",
            share=archive.recordings,
            serial=self.site.serial,
            zone=self.zone,
        )
        return RegisterSettings(
            ledger=ledger, now_ns=now_ns, go_on_without=go_on_without, in_force=self._in_force() if begins else None
        )

    def deliveries(self) -> Plan:
        """Return what is delivered where."""
        return Plan(
            targets={target.name: target for target in self.target},
            policies={table.id: policy(table.targets, table.delivery) for table in self.enterprise if table.targets},
        )

    @property
    def delivers(self) -> bool:
        """Whether there is something for `rokubox-upload` to do."""
        return bool(self.deliveries().policies) or bool(self.inbox.directory)

    def pending_uploads(self, archive: Archive) -> "PendingUploads":
        """Return what tells which calls wait to be delivered."""
        from appliance.custody.pendinguploads import PendingUploads  # the queue is no business of capture

        return PendingUploads(archive.root, self.deliveries().policies.keys())

    def _in_force(self) -> InForce:
        who, why = self.site.changed_by.strip() or self.owner, self.site.change_reason.strip()
        return InForce(digest=self.digest, by=Attribution(who=who or NOT_STATED, why=why or NOT_STATED))

    def retention(self) -> Policy:
        """Return how long recordings are kept."""
        default = self.storage.retention
        return Policy(
            default=Rule(name="default", retention=default),
            enterprises={table.id: _retention(table, default) for table in self.enterprise},
        )


def _retention(table: EnterpriseTable, default: Retention) -> EnterprisePolicy:
    whole, ended_on = table.retention or default, table.ended_on
    # A rule's name goes into the ledger, where no number may stand: lines are counted from 1.
    lines = {
        canonical(line.number): Rule(name=f"{table.id} line {number}", retention=line.retention, ended_on=ended_on)
        for number, line in enumerate(table.lines, 1)
        if line.retention is not None
    }
    return EnterprisePolicy(rule=Rule(name=table.id, retention=whole, ended_on=ended_on), lines=lines)


def _enterprise(table: EnterpriseTable) -> Enterprise:
    return Enterprise(
        id=table.id,
        lines=tuple(LineRule(number=line.number, record=line.record) for line in table.lines),
        allow_00=table.rules.allow_00,
        unsignalled=table.rules.unsignalled,
    )


def read(path: Path, box: Path | None = None) -> Configuration:
    """Read and validate a configuration file.

    Where it names no serial number, that of the box counts, if it has one (`boxsettings.serial`): in the file's folder,
    or in `box`.

    Raises:
        ConfigurationError: every problem with its key path, one a line.
    """
    try:
        raw, status = path.read_bytes(), path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    try:
        tree = tomllib.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not TOML: {' '.join(str(error).split())}") from error
    configuration, problems = parse(_with_serial(tree, box or path.parent))
    if configuration is None:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in problems))
    return dataclasses.replace(
        configuration, digest=hashlib.sha256(raw).hexdigest(), text=raw, owner=_user_name(status.st_uid)
    )


def _with_serial(tree: dict[str, Any], box: Path) -> dict[str, Any]:
    site = tree.get("site", {})
    if not isinstance(site, dict) or site.get("serial"):
        return tree
    try:
        own = serial.parse((box / serial.NAME).read_text("ascii"))
    except (OSError, UnicodeDecodeError):
        return tree
    return {**tree, "site": {**site, "serial": own}} if own else tree


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid {user}"


def kept(journal: Path, digest: str) -> Configuration | None:
    """Return the configuration of a digest, "" for none, as it was in force; None when its text cannot be read any
    more."""
    if not digest:
        return Configuration()
    if configtexts.find(journal, digest) is None:
        return None
    try:
        return read(configtexts.path_of(journal, digest))
    except ConfigurationError:
        return None


def parse(tree: dict[str, Any]) -> tuple[Configuration | None, list[str]]:
    """Validate a parsed TOML tree: the configuration, or None and every problem."""
    configuration, problems = build(tree, Configuration)
    problems += repeated(tree, "span", "interface")
    problems += repeated(tree, "enterprise", "id")
    problems += repeated(tree, "enterprise", "lines", "number", form=canonical)
    problems += repeated(tree, "target", "name")
    problems += repeated(tree, "share", "user", "name")
    if configuration is not None:
        for found in (_management_problems, _retention_problems, _mqtt_problems, _delivery_problems):
            problems += found(configuration)
    return (None if problems else configuration), problems


def _management_problems(configuration: Configuration) -> list[str]:
    mirror_ports = {span.interface for span in configuration.span}
    found = [f"management.{problem}" for problem in network.problems(configuration.management, mirror_ports)]
    for table, networks in (("share", configuration.share.networks), ("ssh", configuration.ssh.networks)):
        found += [f"{table}.networks: {problem}" for problem in letin.problems(networks)]
    return found


def _delivery_problems(configuration: Configuration) -> list[str]:
    """Targets that cannot be, and enterprises that name one that is not there."""
    problems = [f"target[{at}].{found}" for at, one in enumerate(configuration.target) if (found := one.problem())]
    if found := configuration.inbox.problem():
        problems.append(f"inbox.{found}")
    names = {target.name for target in configuration.target}
    for at, table in enumerate(configuration.enterprise):
        problems += [
            f"enterprise[{at}].targets: there is no [[target]] of the name {name!r}"
            for name in table.targets
            if name not in names
        ]
        if found := table.delivery.problem():
            problems.append(f"enterprise[{at}].delivery.{found}")
    return problems


def _mqtt_problems(configuration: Configuration) -> list[str]:
    site = configuration.site
    names = {"customer": site.customer, "site": site.site, "serial": site.serial}
    return telemetry_settings.problems(configuration.mqtt, names)


def _retention_problems(configuration: Configuration) -> list[str]:
    """Rules that contradict themselves."""
    rules: list[tuple[str, Retention | None]] = [("storage", configuration.storage.retention)]
    for at, table in enumerate(configuration.enterprise):
        rules.append((f"enterprise[{at}]", table.retention))
        rules += [(f"enterprise[{at}].lines[{number}]", line.retention) for number, line in enumerate(table.lines)]
    return [f"{path}.retention: {rule.problem()}" for path, rule in rules if rule is not None and rule.problem()]
