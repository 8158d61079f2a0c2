"""Reports as a carrier or a customer gets them: what is in them, what is not, and whether their signature holds."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest

from appliance import cli
from appliance.diagnosis.domains import Domain
from appliance.diagnosis.evidence import Check, Role, State, Step
from appliance.diagnosis.report import conformance, drawing, redaction, repair, signing
from appliance.diagnosis.verdict import verdict
from appliance.presentation import verdicttable
from appliance.show.labels import Language
from storage.disk import Disk
from storage.ledger import devicekey
from tests.appliance.diagnosis.evidence_of import FAULTS, WINDOW, healthy, with_port

BOX = repair.Box(
    customer="客先 <K&K>", site="大阪", serial="RB-1", zone=ZoneInfo("Asia/Tokyo"), key_fingerprint="ab" * 32
)
BOTH = (Language.JA, Language.EN)
SECRET = "198.51.100.77"


class Wellformed(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, _attributes):
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def faulty(name):
    evidence = FAULTS[name][0](healthy())
    carrier = Check(step=Step.CARRIER, state=State.OK, target=f"{SECRET}:5060/udp", window=WINDOW)
    others = tuple(check for check in evidence.checks if check.step is not Step.CARRIER)
    return replace(evidence, checks=(*others, carrier))


@pytest.mark.parametrize("make", [repair.report, conformance.pack])
@pytest.mark.parametrize("name", ["503 from the carrier", "disk full", "gaps from the LAN", "broker gone"])
def test_a_page_is_whole_in_both_languages_and_loads_nothing(make, name):
    evidence = faulty(name)
    page = make(BOX, evidence, verdict(evidence), BOTH, is_redacted=True)
    reader = Wellformed()
    reader.feed(page)
    assert reader.open == []
    assert "客先 &lt;K&amp;K&gt;" in page
    assert page.count("<svg") == 2
    assert not re.search(r'(src|href)="?http|<script|url\(', page)
    assert "@page { size: A4" in page


def test_the_report_says_whose_it_is_and_why():
    evidence = faulty("503 from the carrier")
    page = repair.report(BOX, evidence, verdict(evidence), BOTH, is_redacted=True)
    for told in (
        "切分け結果報告",
        "Result of fault isolation",
        "通信事業者",
        "carrier",
        "SIP 503",
        "4 / 9",
        "rokubox/test",
    ):
        assert told in page
    assert "自社側の検査 15 項目: 正常 14、この装置では確認不可 1、異常 0" in page


def test_a_healthy_site_has_a_report_too():
    evidence = healthy()
    page = repair.report(BOX, evidence, verdict(evidence), BOTH, is_redacted=True)
    assert "異常は見つかりませんでした" in page
    assert "No fault was found" in page


def test_the_carriers_equipment_is_left_out_unless_asked_for():
    evidence = faulty("503 from the carrier")
    hidden = redaction.redacted(evidence)
    assert verdict(hidden).exit_code == verdict(evidence).exit_code
    page = repair.report(BOX, hidden, verdict(hidden), BOTH, is_redacted=True)
    assert SECRET not in page
    assert "SBC/1" not in page
    assert "#1:5060/udp" in page
    whole = repair.report(BOX, evidence, verdict(evidence), BOTH, is_redacted=False)
    assert SECRET in whole
    assert "SBC/1" in whole


def test_a_sender_beyond_is_no_address_in_a_redacted_report():
    hidden = redaction.redacted(FAULTS["RTP clock off"][0](healthy()))
    assert "192.0.2.7" not in repair.report(BOX, hidden, verdict(hidden), BOTH, is_redacted=True)


@pytest.mark.parametrize(
    ("name", "domain", "shown"),
    [
        ("503 from the carrier", Domain.CARRIER, drawing.FAULT),
        ("503 from the carrier", Domain.LAN, drawing.SOUND),
        ("SPAN link down", Domain.MIRROR, drawing.FAULT),
        ("gaps from the VPN", Domain.VPN, drawing.FAULT),
        ("disk full", Domain.APPLIANCE, drawing.FAULT),
    ],
)
def test_the_drawing_shows_where(name, domain, shown):
    assert drawing.colour(verdict(faulty(name)), domain) == shown


def test_a_mirror_port_that_sent_is_no_conformance():
    evidence = with_port(healthy(), Role.SPAN, sent=3)
    found = conformance.statements(evidence, verdict(evidence))
    assert [each.state for each in found if each.what is conformance._SILENT] == [State.NG]
    quiet = with_port(healthy(), Role.SPAN, sent=0)
    assert {each.state for each in conformance.statements(quiet, verdict(quiet))} == {State.OK}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_alone_verifies_the_signature(tmp_path):
    key = devicekey.make(Disk(), tmp_path / "device.key")
    page, signature = signing.write("<!DOCTYPE html>", tmp_path / "out" / "report.html", key)
    (tmp_path / "key.pem").write_bytes(devicekey.public_pem(key.public_key))

    def holds():
        command = f"openssl pkeyutl -verify -pubin -inkey {tmp_path}/key.pem -rawin -in {page} -sigfile {signature}"
        return subprocess.run(command.split(), capture_output=True, check=False).returncode == 0

    assert holds()
    page.write_text("<!DOCTYPE html> ")
    assert not holds()


def test_the_command_writes_a_page_of_evidence_that_was_kept(tmp_path, capsys):
    evidence = faulty("gaps from the LAN")
    kept = tmp_path / "evidence.json"
    kept.write_text(json.dumps(verdicttable.document(verdict(evidence), evidence), ensure_ascii=False))
    arguments = ["report", "--archive", str(tmp_path), "--output", str(tmp_path / "out"), "--evidence", str(kept)]
    assert cli.main(arguments) == 20
    [written] = capsys.readouterr().out.split()
    assert written.endswith(".html")
    assert SECRET not in (tmp_path / "out" / written.rpartition("/")[2]).read_text()
    kept.write_text("{}")
    assert cli.main(arguments) == 2
    assert "not what `rokubox selftest --json` writes" in capsys.readouterr().err
