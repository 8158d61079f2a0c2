"""The support bundle: what is in it, and above all what is not."""

import json
import zipfile
from pathlib import Path

import pytest

from appliance import cli
from appliance.diagnosis.support import masking
from tests.appliance.journals import assemble, write_journal
from tests.scenario import CALLEE, CALLER, call
from tests.traffic.calls import play

CONFIG = """
[site]
customer = "Secret Corp"
site = "Hidden Office"
serial = "RB-9"
[management]
address = "192.0.2.10/24"
proxy = "http://user:word@192.0.2.99:3128"
[probe]
not_observable = ["clock", "smart", "gateway", "dns"]
carrier_networks = ["203.0.113.0/24"]
[[enterprise]]
id = "E0001"
[[enterprise.lines]]
number = "03-1234-5678"
"""


@pytest.fixture
def bundle(tmp_path, capsys):
    """Makes one with these further arguments and returns its files."""
    archive = tmp_path / "archive"
    archive.mkdir()
    write_journal(archive / "journal", play(call(talk_s=2.0)).packets)
    assemble(archive)
    config = tmp_path / "rokubox.toml"
    config.write_text(CONFIG)

    def made(*more: str) -> dict[str, str]:
        words = ["support-bundle", "--config", str(config), "--archive", str(archive), "--interface", "lo"]
        assert cli.main([*words, "--output", str(tmp_path / "out"), *more]) == 0
        path = Path(capsys.readouterr().out.strip())
        with zipfile.ZipFile(path) as opened:
            assert opened.testzip() is None
            return {name: opened.read(name).decode() for name in opened.namelist()}

    return made


def test_nothing_of_a_customer_is_in_it(bundle):
    files = bundle()
    everything = "".join(files.values())
    for secret in ("Secret Corp", "Hidden Office", "E0001", "1234-5678", "12345678", "word@", "203.0.113.0"):
        assert secret not in everything, secret
    for party in (CALLER, CALLEE):
        assert party.number not in everything
    assert {"verdict.json", "report.html", "versions.json", "configuration.json", "archive.json"} <= set(files)
    assert json.loads(files["archive.json"])["outcomes"] == {"recorded": 1}
    assert json.loads(files["configuration.json"])["tree"]["management"]["address"] == "192.0.2.10/24"
    assert json.loads(files["versions.json"])["packages"]["msgspec"]


def test_the_whole_of_it_still_has_no_numbers(bundle):
    everything = "".join(bundle("--whole").values())
    assert "Secret Corp" in everything
    assert "203.0.113.0" in everything
    for secret in ("1234-5678", "12345678", "word@", CALLER.number):
        assert secret not in everything


@pytest.mark.parametrize(
    ("told", "masked"),
    [
        ("call from 0312345678 ended", "call from *** ended"),
        ("to +81 3-1234-5678.", "to ***."),
        (
            "2026-01-02T03:04:05.123456+0900 box rokubox[1234]: ready",
            "2026-01-02T03:04:05.123456+0900 box rokubox[1234]: ready",
        ),
        ("peer 192.0.2.1:5060, 12 packets", "peer 192.0.2.1:5060, 12 packets"),
    ],
)
def test_lines_of_a_log(told, masked):
    assert masking.line(told) == masked
