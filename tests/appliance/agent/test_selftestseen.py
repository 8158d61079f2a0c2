import json

from appliance.agent.selftestrun import SelfTestRun, SelfTestUnit
from appliance.agent.selftestseen import parse
from tests.appliance.telemetry.broker import wait_for

LADDER = [
    {"step": "gateway", "state": "ng", "checks": [{"cause": ""}, {"cause": "arp_unanswered"}]},
    {"step": "broker", "state": "ok", "checks": []},
]


def test_a_verdict_as_the_noc_is_told():
    seen = parse(20, json.dumps({"domains": ["lan"], "ladder": LADDER}).encode())
    assert (seen.outcome, seen.exit_code, seen.domains) == ("failed", 20, ("lan",))
    assert [(one.step, one.state, one.cause) for one in seen.steps] == [
        ("gateway", "ng", "arp_unanswered"),
        ("broker", "ok", ""),
    ]
    assert parse(0, json.dumps({"domains": [], "ladder": LADDER}).encode()).outcome == "passed"
    assert parse(29, json.dumps({"domains": [], "ladder": []}).encode()).outcome == "not_observable"


def test_one_that_could_not_be_run_says_nothing_of_the_box():
    for code, printed in ((1, b""), (-9, b"{"), (5, b"[]"), (2, b'{"ladder": 7}')):
        assert parse(code, printed).outcome == "not_observable"


def test_one_at_a_time_and_its_result_once():
    run = SelfTestRun(["sh", "-c", 'echo \'{"domains": [], "ladder": []}\'; sleep 0.1'])
    assert run.ended() is None
    run.begin()
    run.begin()
    seen = []

    def has_ended():
        seen.append(run.ended())
        return seen[-1] is not None

    wait_for(has_ended, "its end")
    assert seen[-1]
    assert seen[-1].outcome == "passed"
    assert run.ended() is None
    run.begin()
    run.close()
    run.close()


def test_one_by_the_service_manager(tmp_path):
    unit = SelfTestUnit(tmp_path)
    assert unit.ended() is None
    unit.begin()
    assert unit.ended() is None
    (tmp_path / "rokubox-selftest.json").write_text('{"domains": [], "ladder": []}')
    (tmp_path / "rokubox-selftest.ended").write_text("0\n")
    (tmp_path / "rokubox-selftest.begin").unlink()
    seen = unit.ended()
    assert seen
    assert seen.outcome == "passed"
    assert unit.ended() is None
    (tmp_path / "rokubox-selftest.json").write_text("")  # one that nobody here asked for, and that was stopped
    (tmp_path / "rokubox-selftest.ended").write_text("TERM\n")
    seen = SelfTestUnit(tmp_path).ended()
    assert seen
    assert (seen.outcome, seen.exit_code) == ("not_observable", 1)
