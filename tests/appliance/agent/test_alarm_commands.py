"""`rokubox alarms` and `rokubox certificates`, as a technician uses them."""

import datetime
import json
import select
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance import cli
from appliance.agent.agentsocket import AgentSocket
from appliance.agent.alarmbook import AlarmBook
from appliance.agent.orders import Orders
from appliance.alarms.alarm import AlarmKey, Condition
from appliance.alarms.kind import AlarmName
from appliance.alarms.table import NS, AlarmTable
from appliance.telemetry.outbox import Outbox
from appliance.telemetry.statefile import StateFile
from capture.bootline import ClockReading
from tests.appliance.telemetry.broker import Authority

NOW = ClockReading(1_790_000_000 * NS, 0, "boot")
ROT = Condition(key=AlarmKey(resource="archive disk", name=AlarmName.BIT_ROT), facts={"what": "2 files"})


@pytest.fixture
def kept(tmp_path):
    """An archive whose agent knows of one alarm that stands and one that is over."""
    with StateFile(tmp_path / "agent") as state:
        table, book = AlarmTable(now=NOW), AlarmBook(state)
        ledger = Condition(key=AlarmKey(resource="ledger", name=AlarmName.LEDGER_FAULT))
        table.observe("archive", [ROT, ledger], NOW)
        table.observe("archive", [ROT], NOW)
        table.advance(NOW._replace(boot_ns=60 * NS))
        book.note(table.take_changes())
        Outbox(state).save(lambda connection: book.write(connection, table))
    return tmp_path, table


def test_what_stands_and_what_was(kept, capsys):
    root, _ = kept
    assert cli.main(["alarms", "--archive", str(root)]) == 0
    listed = capsys.readouterr().out
    assert "305" in listed
    assert "保存済みの録音が破損・欠落している / Recordings on the disk are damaged or gone: archive disk" in listed
    assert "what 2 files" in listed
    assert listed.endswith("1 alarm\n")
    assert cli.main(["alarms", "history", "--json", "--archive", str(root)]) == 0
    changes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["alarm"]["key"]["name"], one["alarm"]["state"], one["told_ns"]) for one in changes] == [
        ("ledger_fault", "cleared", None),
        ("ledger_fault", "raised", None),
        ("bit_rot", "raised", None),
    ]
    assert cli.main(["alarms", "history", "--archive", str(root)]) == 0
    assert "NOC told" in capsys.readouterr().out


def test_every_alarm_is_explained_in_both_languages(capsys):
    assert cli.main(["alarms", "explain", "305"]) == 0
    told = capsys.readouterr().out
    assert "See which with `rokubox verify`" in told
    assert "`rokubox verify` で対象を確認し" in told
    assert cli.main(["alarms", "explain"]) == 0
    assert cli.main(["alarms", "explain", "7"]) == 2


def test_orders_go_to_the_agent(kept, capsys):
    root, table = kept
    orders = Orders(table=table, noted=lambda _alarm: None, errands={})
    asked = []

    def carry_out(order, arguments, by):
        asked.append((order, by))
        return orders.carry_out(order, arguments, by, NOW)

    with AgentSocket(root / "agent") as agent, ThreadPoolExecutor(1) as thread:
        for words, code, said in (
            (("ack", "305", "--comment", "disk ordered"), 0, f"{ROT.key.id}: ack\n"),
            (("shelve", ROT.key.id, "--hours", "2"), 0, f"{ROT.key.id}: shelve\n"),
            (("ack", "101"), 4, ""),
        ):
            running = thread.submit(cli.main, ["alarms", *words, "--archive", str(root)])
            while not running.done():
                select.select([agent], [], [], 0.05)
                agent.serve(carry_out)
            assert (running.result(), capsys.readouterr().out) == (code, said)
    [alarm] = table.raised
    assert alarm.acknowledged.comment == "disk ordered"
    assert alarm.shelved.until_ns == NOW.real_ns + 7200 * NS
    assert {by for _, by in asked} == {alarm.acknowledged.by}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("ack",), 2, "alarms ack: say which alarm"),
        (("ack", "305"), 4, "rokubox-agent does not run on this archive"),
        (("list",), 3, "rokubox-agent never ran on this archive"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, capsys, words, code, told):
    (tmp_path / "agent").mkdir()
    assert cli.main(["alarms", *words, "--archive", str(tmp_path)]) == code
    assert told in capsys.readouterr().err


def test_certificates_are_shown_and_replaced(tmp_path, capsys):
    authority = Authority(tmp_path)
    now = datetime.datetime.now(datetime.UTC)
    certificate, key = authority.issue("box", not_after=now + datetime.timedelta(days=5, hours=1))
    configuration = tmp_path / "rokubox.toml"
    configuration.write_text(
        f'[site]\ncustomer = "A"\nsite = "B"\nserial = "C"\n[mqtt]\nhost = "noc.example"\n'
        f'ca_file = "{authority.ca_file}"\ncertificate_file = "{certificate}"\nkey_file = "{key}"\n'
    )
    at = ["certificates", "--config", str(configuration)]
    assert cli.main(at) == 0
    assert "5 days left / 残り 5 日" in capsys.readouterr().out
    new, new_key = authority.issue("new", not_after=now + datetime.timedelta(days=90, hours=1))
    strange, _ = authority.issue("other")
    over, over_key = authority.issue("over", not_after=now - datetime.timedelta(days=1))
    for pair, told in (
        ((strange, new_key), "the key does not belong to"),
        ((over, over_key), "not now"),
        ((tmp_path / "none", new_key), "No such file"),
        ((new_key, new_key), "no certificate in PEM form"),
    ):
        assert cli.main([*at, "--install", *map(str, pair)]) == 3
        assert told in capsys.readouterr().err
    assert cli.main([*at, "--install", str(new), str(new_key)]) == 0
    capsys.readouterr()
    assert cli.main(at) == 0
    assert "90 days left" in capsys.readouterr().out
    assert key.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".*"))
