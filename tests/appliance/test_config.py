"""The configuration: what is read, what is refused with which line, and the sample that ships."""

import dataclasses
import hashlib
import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import config
from appliance.assembly.settings import Legs, Record
from appliance.config import Configuration
from appliance.errors import ConfigurationError
from appliance.tomltree import NOT_IN_FILE
from storage.vocabulary import Form, Pcm

SAMPLE = files("appliance").joinpath("rokubox.sample.toml").read_text()
WHOLE = """
[site]
customer = "客先"
site = "大阪"
serial = "RB-1"
time_zone = "UTC"
[[span]]
interface = "enp2s0"
sip_ports = [5070]
[[span]]
interface = "enp3s0"
[recording]
segment_s = 600
form = "wav"
pcm = "g711"
legs = "all"
linger_s = 1
late_s = 2.5
media_timeout_s = 60
mask_dtmf = true
[[enterprise]]
id = "E1"
lines = [{ number = "03-1234-5678" }, { number = "2002", record = false }]
rules = { allow_00 = ["001"], unsignalled = true }
[storage]
archive = "/srv/rokubox"
"""


def problems(text: str) -> list[str]:
    configuration, found = config.parse(tomllib.loads(text))
    assert (configuration is None) == bool(found)
    return found


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        config.read(path)
    return str(refused.value)


def test_without_a_file_everything_is_recorded() -> None:
    settings = Configuration().assembly(record=None, form=None, software="rokubox")
    assert (settings.record, settings.form, settings.config_digest) == (Record.ALL, Form.ZIP, None)
    assert Configuration().sip_ports == {5060, 5061}


def test_everything_in_the_file_reaches_assembly(tmp_path: Path) -> None:
    path = tmp_path / "rokubox.toml"
    path.write_text(WHOLE)
    configuration = config.read(path)
    assert configuration.sip_ports == {5060, 5061, 5070}
    assert configuration.digest == hashlib.sha256(WHOLE.encode()).hexdigest()
    assert configuration.text == WHOLE.encode()
    found = configuration.assembly(record=None, form=None, software="rokubox 1")
    [enterprise] = found.enterprises
    assert [(line.number, line.record) for line in enterprise.lines] == [("03-1234-5678", True), ("2002", False)]
    assert (enterprise.id, enterprise.allow_00, enterprise.unsignalled) == ("E1", ("001",), True)
    assert (found.record, found.form, found.pcm, found.legs) == (Record.RULES, Form.WAV, Pcm.G711, Legs.ALL)
    assert (found.segment_s, found.linger_ns, found.late_ns) == (600, 1_000_000_000, 2_500_000_000)
    assert (found.media_timeout_ns, found.mask_dtmf, found.zone.key) == (60_000_000_000, True, "UTC")
    assert (found.software, found.config_digest) == ("rokubox 1", configuration.digest)


def test_retention_by_enterprise_and_line() -> None:
    text = """
    storage.retention.keep_days = 30
    [[enterprise]]
    id = "E1"
    ended_on = 2027-04-01
    retention = { keep_days = 365, minimum_days = 10 }
    lines = [{ number = "03-1234-5678" }, { number = "+81 6 1111 2222", retention = { max_bytes = 5 } }]
    [[enterprise]]
    id = "E2"
    """
    configuration, _ = config.parse(tomllib.loads(text))
    assert configuration is not None
    policy = configuration.retention()
    asked = [("E1", "0312345678"), ("E1", "0611112222"), ("E1", None), ("E2", "0312345678"), ("E3", None), (None, None)]
    found = [policy.rule(*one) for one in asked]
    assert [rule.name for rule in found] == ["E1", "E1 line 2", "E1", "E2", "default", "default"]
    assert [rule.retention.keep_days for rule in found] == [365, 0, 365, 30, 30, 30]
    assert [rule.retention.max_bytes for rule in found] == [0, 5, 0, 0, 0, 0]
    assert [str(rule.ended_on) for rule in found[:4]] == ["2027-04-01", "2027-04-01", "2027-04-01", "None"]


def test_the_command_line_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "rokubox.toml"
    path.write_text(WHOLE)
    found = config.read(path).assembly(record=Record.ALL, form=Form.ZIP, software="")
    assert (found.record, found.form) == (Record.ALL, Form.ZIP)


def test_a_file_from_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rokubox.toml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    assert config.read(path).site.customer == "客先"


TABLES = (
    "site, span, recording, enterprise, storage, management, probe, backup, share, mqtt, alarms, target, inbox, ssh, "
    "update"
)
UNKNOWN = f"unknown key; known here: {TABLES}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour = 1", f"colour: {UNKNOWN}"),
        ('digest = "x"', f"digest: {UNKNOWN}"),
        ("[portal]", f"portal: {UNKNOWN}"),
        (
            "[site]\nzone = 1",
            "site.zone: unknown key; known here: customer, site, serial, time_zone, changed_by, change_reason",
        ),
        ("site = 1", "site: must be a table"),
        (
            "[site]\n'a b' = 1",
            'site."a b": unknown key; known here: customer, site, serial, time_zone, changed_by, change_reason',
        ),
        ("[site]\ncustomer = 1", "site.customer: expected str, got int"),
        (
            "[site]\ntime_zone = 'Asia/Tokio'",
            "site.time_zone: no time zone 'Asia/Tokio'; write one like 'Asia/Tokyo'",
        ),
        ("[site]\ntime_zone = '../../etc/passwd'", None),
        ("[span]\ninterface = 'a'", "span: must be an array of tables, [[span]]"),
        ("span = [1]", "span[0]: must be a table"),
        ("[[span]]\nsip_ports = 5060", "span[0].sip_ports: must be an array"),
        ("[[span]]\nsip_ports = [5060, 0]", "span[0].sip_ports[1]: expected int >= 1"),
        ("[[span]]\nsip_ports = [65536]", "span[0].sip_ports[0]: expected int <= 65535"),
        ("[[span]]\nsip_ports = ['5060']", "span[0].sip_ports[0]: expected int, got str"),
        ("[recording]\nsegment_s = 29", "recording.segment_s: expected int >= 30"),
        ("[recording]\nsegment_s = 86_401", "recording.segment_s: expected int <= 86400"),
        ("[recording]\nsegment_s = 1800.0", "recording.segment_s: expected int, got float"),
        ("[recording]\nsegment_s = '1800'", "recording.segment_s: expected int, got str"),
        ("[recording]\nform = 'rar'", "recording.form: invalid enum value 'rar'; one of zip, wav"),
        ("[recording]\npcm = 'mp3'", "recording.pcm: invalid enum value 'mp3'; one of pcm16, g711"),
        ("[recording]\nlegs = 'two'", "recording.legs: invalid enum value 'two'; one of one, all"),
        ("[recording]\nlinger_s = -0.1", "recording.linger_s: expected float >= 0.0"),
        ("[recording]\nlinger_s = nan", "recording.linger_s: expected float >= 0.0"),
        ("[recording]\nlate_s = inf", "recording.late_s: expected float <= 60.0"),
        ("[recording]\nmedia_timeout_s = true", "recording.media_timeout_s: expected float, got bool"),
        ("[recording]\nmask_dtmf = 1", "recording.mask_dtmf: expected bool, got int"),
        ("[[enterprise]]", "enterprise[0].id: is missing"),
        ("[[enterprise]]\nid = ''", "enterprise[0].id: expected str of length >= 1"),
        ("[[enterprise]]\nid = 'a'\nlines = [{}]", "enterprise[0].lines[0].number: is missing"),
        (
            "[[enterprise]]\nid = 'a'\nlines = [{number = '1'}, {number = 31234}]",
            "enterprise[0].lines[1].number: expected str, got int",
        ),
        (
            "[[enterprise]]\nid = 'a'\nlines = [{number = '--'}]",
            "enterprise[0].lines[0].number: no digits or letters in it",
        ),
        ("[[enterprise]]\nid = 'a'\nlines = ['1']", "enterprise[0].lines[0]: must be a table"),
        ("[[enterprise]]\nid = 'a'\nrules = []", "enterprise[0].rules: must be a table"),
        (
            "[[enterprise]]\nid = 'a'\nrules.allow_00 = ['00', '81']",
            "enterprise[0].rules.allow_00[1]: must begin with 00",
        ),
        (
            "[[enterprise]]\nid = 'a'\n[[enterprise]]\nid = 'a'",
            "enterprise[1].id: 'a' is there already, at enterprise[0].id",
        ),
        (
            "[[enterprise]]\nid = 'a'\nlines = [{number = '0312345678'}]\n"
            "[[enterprise]]\nid = 'b'\nlines = [{number = '1'}, {number = '+81-3-1234-5678'}]",
            "enterprise[1].lines[1].number: '+81-3-1234-5678' is there already, at enterprise[0].lines[0].number",
        ),
        (
            "[[span]]\ninterface = 'a'\n[[span]]\ninterface = 'a'",
            "span[1].interface: 'a' is there already, at span[0].interface",
        ),
        (
            "storage.retention.keep_days = 3654",
            "storage.retention.keep_days: expected int <= 3653",
        ),
        (
            "[[enterprise]]\nid = 'a'\nretention = {keep_day = 1}",
            "enterprise[0].retention.keep_day: unknown key; known here: keep_days, minimum_days, max_bytes",
        ),
        ("[[enterprise]]\nid = 'a'\nretention = 90", "enterprise[0].retention: must be a table"),
        (
            "[[enterprise]]\nid = 'a'\nlines = [{number = '1', retention = {keep_days = 7, minimum_days = 30}}]",
            "enterprise[0].lines[0].retention: minimum_days = 30 is longer than keep_days = 7",
        ),
        ("[[enterprise]]\nid = 'a'\nended_on = '2026'", "enterprise[0].ended_on: invalid RFC3339 encoded date"),
        (
            "[storage]\nvolume_uuid = 'sdb1'",
            "storage.volume_uuid: not the UUID of a file system, as `blkid` shows it",
        ),
        ("[backup]\nhour = 24", "backup.hour: expected int <= 23"),
        (
            "[share]\nreaders = ['a b']",
            "share.readers[0]: expected str matching regex '^[@+&]?[A-Za-z0-9._-]{1,64}$'",
        ),
        ("[mqtt]\nhost = 'a b'", "mqtt.host: neither a host name nor an address"),
        (
            "[mqtt]\ncommands = ['reboot']",
            "mqtt.commands[0]: invalid enum value 'reboot'; "
            "one of ack, shelve, unshelve, selftest, health, alarms, update",
        ),
        ("[storage]\narchive = []", "storage.archive: expected str, got array"),
        ("[storage]\narchive = 1979-05-27", "storage.archive: expected str, got date"),
    ],
)
def test_a_problem_is_told_in_one_line(text: str, problem: str | None) -> None:
    [found] = problems(text)
    assert "\n" not in found
    assert problem is None or found == problem


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rokubox.toml"
    path.write_text(
        "[site]\ntime_zone = 'x'\n[recording]\nsegment_s = 0\nform = 1\n[[enterprise]]\nlines = [{number = 1}]\nx = 1\n"
    )
    told = [line.removeprefix(f"{path}: ").partition(":")[0] for line in refusal(path).splitlines()]
    assert told == [
        "site.time_zone",
        "recording.segment_s",
        "recording.form",
        "enterprise[0].x",
        "enterprise[0].lines[0].number",
        "enterprise[0].id",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[site", "not TOML: "),
        (b"a = 1\na = 2", "not TOML: "),
        (b"\xff\xfe", "not TOML: 'utf-8' codec can't decode byte 0xff"),
        (b"a = " + b"[" * 100_000, "not TOML: "),
    ],
)
def test_what_is_no_toml_is_told_in_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "rokubox.toml"
    path.write_bytes(content)
    refused = refusal(path)
    assert refused.startswith(f"{path}: {told}")
    assert "\n" not in refused


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"


TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "lines", "number", "x"]), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["site", "span", "recording", "enterprise", "storage", "mqtt"]), TREES))
@settings(max_examples=150, deadline=None)
def test_any_tree_is_either_read_or_refused(tree: dict[str, Any]) -> None:
    configuration, found = config.parse(tree)
    assert (configuration is None) == bool(found)
    assert not any("\n" in problem for problem in found)


def test_the_sample_sets_nothing() -> None:
    configuration, found = config.parse(tomllib.loads(SAMPLE))
    assert found == []
    assert configuration == Configuration()


def test_the_sample_with_every_key_is_valid() -> None:
    configuration, found = config.parse(tomllib.loads(uncommented(SAMPLE)))
    assert found == []
    assert configuration is not None
    assert configuration.enterprise[0].lines[0].number


def test_the_sample_shows_every_key_with_its_default() -> None:
    shown = dict(leaves(tomllib.loads(uncommented(SAMPLE))))
    examples = dict(leaves(tomllib.loads(uncommented(SAMPLE, only_examples=True))))
    expected = dict(declared(Configuration))
    assert shown.keys() == expected.keys()
    for path, default in expected.items():
        if path not in examples:
            assert shown[path] == default, path
        else:
            assert default in ("", (), None, dataclasses.MISSING), f"{path} has a default, show that"


def uncommented(sample: str, *, only_examples: bool = False) -> str:
    """Take the `#` from the keys and tables behind it; explanations have a blank after theirs."""
    lines = [re.sub(r"^#(?=[\w\[])", "", line) for line in sample.splitlines()]
    return "\n".join(line for line in lines if not only_examples or "=" not in line or line.endswith("# example"))


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Key paths without indices, and their values."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}".removeprefix("."))
    elif isinstance(tree, list) and tree and isinstance(tree[0], dict):
        for item in tree:
            yield from leaves(item, path)
    else:
        yield path, tuple(tree) if isinstance(tree, list) else tree


def declared(kind: type, path: str = "") -> Iterator[tuple[str, Any]]:
    """Key paths of a configuration record, and their defaults."""
    hints = get_type_hints(kind, include_extras=True)
    for entry in dataclasses.fields(kind):
        hint = hints[entry.name]
        item = get_args(hint)[0] if get_origin(hint) in (tuple, UnionType) else hint
        name = f"{path}.{entry.name}".removeprefix(".")
        if dataclasses.is_dataclass(item):
            assert isinstance(item, type)
            yield from declared(item, name)
        elif entry.metadata != NOT_IN_FILE:
            yield name, entry.default


NAMED = "[site]\ncustomer = 'A'\nsite = 'B'\nserial = 'C'\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[mqtt]\ntls = false", []),
        (f"{NAMED}[mqtt]\nhost = 'localhost'\ntls = false", []),
        (f"{NAMED}[mqtt]\nhost = '::1'\ntls = false", []),
        (
            f"{NAMED}[mqtt]\nhost = '192.0.2.1'\ntls = false",
            ["mqtt.tls: without TLS the broker has to be on this machine (127.0.0.1, ::1 or localhost)"],
        ),
        (
            f"{NAMED}[mqtt]\nhost = 'noc.example'\nkey_file = 'x'",
            ["mqtt: certificate_file and key_file go together"],
        ),
        (
            "[site]\nserial = 'C'\n[mqtt]\nhost = 'noc.example'",
            [
                "site.customer: is needed for [mqtt]; it stands in every topic",
                "site.site: is needed for [mqtt]; it stands in every topic",
            ],
        ),
    ],
)
def test_a_broker_is_trusted_or_on_this_machine(text: str, found: list[str]) -> None:
    assert problems(text) == found
