"""`rokubox record` while its mirror ports come, go, are renamed or refused: it hears again by itself, and tells."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capture.events import EventKind
from tests.archive_reading import call_records, stored_parts
from tests.capture.private_network import in_private_network, ip, veth
from tests.journal_reading import events
from tests.live import Recorder, recording, sending, wait_until
from tests.recorded_truth import differences
from tests.scenario import call, causes
from tests.traffic.calls import play

PORT = ("--interface", "span0")
MAC = "0a:11:22:33:44:55"


def changes(recorder: Recorder) -> list[tuple[object, object]]:
    """What the journal says of the port: each change, and whether it hears since."""
    told = events(recorder.archive / "journal", EventKind.INTERFACE)
    return [(event.detail["change"], event.detail["up"]) for event in told]


def log(recorder: Recorder) -> str:
    return recorder.log.read_text()


def hears_a_call(recorder: Recorder, name: str) -> None:
    """A call that comes now is recorded without loss."""
    before = [record["outcome"] for record in call_records(recorder.archive)]
    with sending("switch0", play(call(name, talk_s=2.0)).packets):
        pass
    recorder.wait_for_records(len(before) + 1)
    after = [record["outcome"] for record in call_records(recorder.archive)]
    assert sorted(after) == sorted([*before, "recorded"])


@contextmanager
def while_capture_is_dead(recorder: Recorder) -> Iterator[None]:
    """Capture is killed, and started again when the context is left."""
    before = recorder.pid("capture")
    recorder.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(before, signal.SIGKILL)
        yield
    finally:
        recorder.process.send_signal(signal.SIGCONT)
    wait_until(lambda: recorder.pid("capture") != before)


def restarts(recorder: Recorder) -> int:
    return log(recorder).count("; restart ")


def plug_in(name: str, more: str = "") -> None:
    """A new adapter, which has its name from the beginning."""
    veth("new0", "switch0")
    if more:
        ip(f"{more} dev new0")
    ip(f"link set dev new0 name {name}")


@in_private_network
def test_an_adapter_that_is_refused_is_tried_again(tmp_path: Path) -> None:
    veth("span0", "switch0")
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", play(call(talk_s=12.0)).packets):
            time.sleep(3)
            ip("link del span0")
            plug_in("span0", "address add 192.0.2.9/24")
            wait_until(lambda: "has address 192.0.2.9" in log(recorder))
            time.sleep(2)
            told = log(recorder).count("has address 192.0.2.9")
            ip("address del 192.0.2.9/24 dev span0")
            wait_until(lambda: "span0: captured from again" in log(recorder))
            assert log(recorder).count("has address 192.0.2.9") == told == 1
        recorder.wait_for_records(1)
        assert ("refused", 0) in changes(recorder)
        assert changes(recorder)[-1][1] == 1
        hears_a_call(recorder, "later@example")
    (record,) = [record for record in call_records(recorder.archive) if record["outcome"] == "partly"]
    assert record["reasons"] == ["capture_loss"]
    part = next(iter(stored_parts(recorder.archive)))
    assert [set(causes(part, side)) for side in (0, 1)] == [{"capture_loss"}, {"capture_loss"}]


@in_private_network
def test_an_adapter_that_is_put_back_while_capture_is_dead(tmp_path: Path) -> None:
    veth("span0", "switch0")
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", play(call(talk_s=9.0)).packets):
            time.sleep(2)
            with while_capture_is_dead(recorder):
                ip("link del span0")
                time.sleep(1)
                veth("span0", "switch0")
        recorder.wait_for_records(1)
        hears_a_call(recorder, "later@example")
    first = next(record for record in call_records(recorder.archive) if record["outcome"] != "recorded")
    assert (first["outcome"], first["reasons"]) == ("partly", ["capture_loss"])


@in_private_network
def test_a_port_that_is_renamed_before_capture_is_killed(tmp_path: Path) -> None:
    veth("span0", "switch0")
    played = play(call(talk_s=8.0))
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", played.packets):
            time.sleep(2)
            ip("link property add dev span0 altname telephony")
            ip("link set dev span0 name mirror7")
            with while_capture_is_dead(recorder):
                time.sleep(1)
        recorder.wait_for_records(1)
        assert restarts(recorder) == 1
    assert [each for each in differences(recorder.archive, [played]) if "from its place" not in each] == []


@in_private_network
def test_an_adapter_that_comes_back_under_another_name_while_capture_is_dead(tmp_path: Path) -> None:
    veth("span0", "switch0", f"address {MAC}")
    with recording(tmp_path / "archive", *PORT) as recorder:
        with while_capture_is_dead(recorder):
            ip("link del span0")
            veth("eth7", "switch0", f"address {MAC}")
            before = len(changes(recorder))
        wait_until(lambda: changes(recorder)[before:][-1:] in ([("start", 1)], [("up", 1)], [("opened", 1)]))
        hears_a_call(recorder, "later@example")
        assert restarts(recorder) == 1


@in_private_network
def test_a_port_that_is_away_is_waited_for(tmp_path: Path) -> None:
    veth("span0", "switch0")
    with recording(tmp_path / "archive", *PORT) as recorder:
        ip("link del span0")
        wait_until(lambda: "there is no interface of this name" in log(recorder))
        time.sleep(3)  # the ring is read to its end and left
        with while_capture_is_dead(recorder):
            pass
        pid = recorder.pid("capture")
        wait_until(lambda: log(recorder).count("there is no interface of this name") == 2)
        time.sleep(1)
        veth("span0", "switch0")
        wait_until(lambda: "span0: captured from again" in log(recorder))
        hears_a_call(recorder, "later@example")
        assert recorder.pid("capture") == pid


@in_private_network
def test_what_the_old_adapter_heard_is_written_when_the_disk_is_back(tmp_path: Path) -> None:
    veth("span0", "switch0")
    journal = tmp_path / "archive" / "journal"
    journal.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", journal], check=True)
    filler = journal / "filler"
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", play(call(talk_s=11.0)).packets):
            time.sleep(3)
            fill(filler)
            time.sleep(3)
            ip("link del span0")
            veth("span0", "switch0")
            time.sleep(3)
            filler.unlink()
        recorder.wait_for_records(1)
    (part,) = stored_parts(recorder.archive)
    for side in (0, 1):
        missing = causes(part, side)
        assert set(missing) <= {"capture_loss"}
        assert missing.get("capture_loss", 0) < 3 * 8000, "what came before the adapter was out is there"


@in_private_network
def test_another_number_of_ports_after_a_supervisor_was_killed(tmp_path: Path) -> None:
    """The ring that goes on keeps its size, the new ports share what one alone would have."""
    played = play(call(talk_s=4.0))
    for number in range(3):
        veth(f"span{number}", f"switch{number}")
    with recording(tmp_path / "archive", *PORT) as before:
        assert ring_mib(before.pid("capture")) == [256]
        with sending("switch0", played.packets):
            time.sleep(2)
            os.kill(before.process.pid, signal.SIGKILL)
            before.process.wait()
            with recording(tmp_path / "archive", *PORT, "--interface", "span1", "--interface", "span2") as recorder:
                assert ring_mib(recorder.pid("capture")) == [64, 64, 256]
                recorder.wait_for_records(1)
    assert [each for each in differences(recorder.archive, [played]) if "from its place" not in each] == []
    assert [record["outcome"] for record in call_records(recorder.archive)] == ["recorded"]


def ring_mib(capture: int) -> list[int]:
    """Memory of the rings that a process has, in MiB."""
    lines = Path(f"/proc/{capture}/maps").read_text().splitlines()
    extents = [line.split()[0].split("-") for line in lines if line.endswith("]") and "socket:" in line]
    return sorted(int(high, 16) - int(low, 16) >> 20 for low, high in extents)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


@in_private_network
def test_one_port_of_two_that_stays_away_is_no_excuse(tmp_path: Path) -> None:
    """The other port goes on; that one is missing is told."""
    veth("span0", "switch0")
    veth("span1", "switch1")
    with recording(tmp_path / "archive", *PORT, "--interface", "span1") as recorder:
        ip("link del span1")
        wait_until(lambda: "span1: there is no interface of this name" in log(recorder))
        hears_a_call(recorder, "first@example")
        with while_capture_is_dead(recorder):
            pass
        hears_a_call(recorder, "second@example")
        assert restarts(recorder) == 1
