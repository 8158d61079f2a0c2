"""`rokubox record` on a real mirror port (a veth in a network of the test's own), with generated calls in real time."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from appliance.clocks import clock_discipline
from capture.events import LOST, Counted, EventKind
from tests.appliance.journals import write_journal
from tests.archive_reading import call_records, stored_parts
from tests.capture.private_network import in_private_network, ip, veth
from tests.journal_reading import events
from tests.live import ROKUBOX, Recorder, recording, sending, wait_until
from tests.recorded_truth import differences as all_differences
from tests.scenario import call, causes
from tests.traffic.calls import PlayedCall, play, together

PORT = ("--interface", "span0")


def differences(archive: Path, calls: list[PlayedCall]) -> list[str]:
    """All that differs between the archive and the calls, but for when they were."""
    return [each for each in all_differences(archive, calls) if "from its place" not in each]


def _is_new(recorder: Recorder, name: str, pid: int) -> bool:
    return recorder.pid(name) != pid


def refused(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run([ROKUBOX, "record", *arguments], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


@in_private_network
def test_a_call_is_recorded_and_the_port_sends_nothing(tmp_path: Path) -> None:
    veth("span0", "switch0")
    played = play(call())
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", played.packets):
            pass
        recorder.wait_for_records(1)
        assert recorder.stop() == 0
    assert differences(recorder.archive, [played]) == []
    (record,) = call_records(recorder.archive)
    assert record["clock"]["source"] == "kernel"
    assert record["clock"]["synchronised"] == clock_discipline().synchronised
    assert (record["outcome"], record["source"]) == ("recorded", "span")
    assert Path("/sys/class/net/span0/statistics/tx_packets").read_text() == "0\n"
    assert not list((recorder.archive / "run").glob("*.pid"))


@in_private_network
def test_two_mirror_ports_see_one_call(tmp_path: Path) -> None:
    veth("span0", "switch0")
    veth("span1", "switch1")
    played = play(call())
    with recording(tmp_path / "archive", *PORT, "--interface", "span1") as recorder:
        with sending("switch0", played.packets), sending("switch1", played.packets):
            pass
        recorder.wait_for_records(1)
    assert [each for each in differences(recorder.archive, [played]) if "duplicates" not in each] == []
    (record,) = call_records(recorder.archive)
    assert record["outcome"] == "recorded"
    assert [side["duplicates"] for side in record["sides"]] == [side["packets"] for side in record["sides"]]


@in_private_network
def test_an_adapter_that_is_pulled_out_and_put_back_is_the_recorders_loss(tmp_path: Path) -> None:
    veth("span0", "switch0")
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", play(call(talk_s=10.0)).packets):
            time.sleep(3)
            ip("link del span0")
            time.sleep(2)
            veth("span0", "switch0")
        recorder.wait_for_records(1)
    (record,) = call_records(recorder.archive)
    assert (record["outcome"], record["reasons"]) == ("partly", ["capture_loss"])
    (part,) = stored_parts(recorder.archive)
    for side in (0, 1):
        missing = causes(part, side)
        assert set(missing) == {"capture_loss"}
        assert 1.5 * 8000 < missing["capture_loss"] < 8 * 8000


@in_private_network
def test_a_port_that_is_renamed_or_changed_goes_on(tmp_path: Path) -> None:
    veth("span0", "switch0")
    played = play(call(talk_s=6.0))
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", played.packets):
            time.sleep(3)
            ip("link set dev span0 mtu 1400")
            ip("link property add dev span0 altname telephony")
            ip("link set dev span0 name mirror7")
        recorder.wait_for_records(1)
    assert differences(recorder.archive, [played]) == []
    assert call_records(recorder.archive)[0]["outcome"] == "recorded"
    told = events(recorder.archive / "journal", EventKind.INTERFACE)
    assert {"mtu", "renamed"} <= {event.detail["change"] for event in told}
    assert told[-1].detail["name"] == "mirror7"
    counted = [event.detail for event in events(recorder.archive / "journal", EventKind.COUNTERS)]
    assert sum(int(detail[Counted.PACKETS]) for detail in counted) >= len(played.packets)
    assert all(detail[name] == 0 for detail in counted for name in LOST)


@in_private_network
def test_stopped_in_the_middle_and_started_again(tmp_path: Path) -> None:
    veth("span0", "switch0")
    with ExitStack() as stack:
        recorder = stack.enter_context(recording(tmp_path / "archive", *PORT))
        sender = stack.enter_context(sending("switch0", play(call(talk_s=12.0)).packets))
        time.sleep(3)
        assert recorder.stop() == 0
        assert call_records(recorder.archive) == []
        recorder = stack.enter_context(recording(tmp_path / "archive", *PORT))
        assert sender.is_alive()
        sender.join()
        recorder.wait_for_records(1)
    (record,) = call_records(recorder.archive)
    assert (record["outcome"], record["reasons"]) == ("partly", ["capture_loss"])
    (part,) = stored_parts(recorder.archive)
    assert [set(causes(part, side)) for side in (0, 1)] == [{"capture_loss"}, {"capture_loss"}]


@in_private_network
def test_killed_daemons_go_on_without_loss(tmp_path: Path) -> None:
    veth("span0", "switch0")
    played = [play(call(f"call{n}@example", talk_s=8.0)) for n in range(1)]
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", together(played)):
            time.sleep(3)
            for name in ("capture", "assemble", "capture"):
                before = recorder.pid(name)
                os.kill(before, signal.SIGKILL)
                wait_until(partial(_is_new, recorder, name, before))
                time.sleep(1)
        recorder.wait_for_records(1)
    assert differences(recorder.archive, played) == []
    assert [record["outcome"] for record in call_records(recorder.archive)] == ["recorded"]


@in_private_network
def test_what_waited_longer_than_the_journals_age_is_recorded_all_the_same(tmp_path: Path) -> None:
    veth("span0", "switch0")
    archive, played = tmp_path / "archive", play(call())
    archive.mkdir()
    write_journal(archive / "journal", played.packets)
    for path in (archive / "journal").glob("*.rkj"):
        os.utime(path, (1, 1))
    with recording(archive, *PORT) as recorder:
        recorder.wait_for_records(1)
    assert differences(archive, [played]) == []
    assert call_records(archive)[0]["outcome"] == "recorded"


@in_private_network
def test_without_room_no_call_is_begun_and_every_one_is_accounted_for(tmp_path: Path) -> None:
    veth("span0", "switch0")
    config = tmp_path / "rokubox.toml"
    config.write_text(f"[storage]\nreserve_bytes = {1 << 60}\n")
    with recording(tmp_path / "archive", *PORT, "--config", str(config)) as recorder:
        time.sleep(2)  # room is looked at each second
        with sending("switch0", play(call(talk_s=2.0)).packets):
            pass
        recorder.wait_for_records(1)
    (record,) = call_records(recorder.archive)
    assert (record["outcome"], record["reasons"]) == ("not_recorded", ["disk_full"])
    assert list(stored_parts(recorder.archive)) == []


@in_private_network
def test_what_cannot_be_recorded_from_is_refused(tmp_path: Path) -> None:
    veth("span0", "switch0")
    ip("address add 192.0.2.1/24 dev span0")
    archive = tmp_path / "archive"
    code, printed, told = refused("--output", archive, "--interface", "none0")
    assert (code, printed) == (2, "")
    assert "none0: there is no interface of this name" in told
    code, printed, told = refused("--output", archive, *PORT)
    assert (code, printed) == (2, "")
    assert "span0" in told
    assert "192.0.2.1" in told
    assert refused("--output", archive)[0] == 2
    code, _, told = refused(*PORT)
    assert (code, told.count("\n")) == (2, 1)


@in_private_network
def test_who_may_not_capture_is_told_so(tmp_path: Path) -> None:
    veth("span0", "switch0")
    command = [
        "setpriv",
        "--bounding-set=-net_raw",
        str(ROKUBOX),
        "record",
        "--output",
        str(tmp_path / "archive"),
        *PORT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert "span0: not permitted; capturing takes CAP_NET_RAW" in done.stderr


@in_private_network
def test_one_archive_has_one_recorder(tmp_path: Path) -> None:
    veth("span0", "switch0")
    with recording(tmp_path / "archive", *PORT) as recorder:
        code, printed, told = refused("--output", recorder.archive, *PORT)
        assert (code, printed, told.count("\n")) == (2, "", 1)
        assert f"pid {recorder.process.pid}" in told
