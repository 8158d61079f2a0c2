"""The watched directory: what settles is taken, what is wrong is set aside with the right reason, nothing is lost."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.storage.ledger.books import TOKYO
from tests.uploader.inbox.delivered import BAD, MAX_WAV_BYTES, bundle, good, samples_of, wav
from uploader.inbox import naming
from uploader.inbox.checking import Reason
from uploader.inbox.countdown import DAY_NS, KEPT_NS, countdown
from uploader.inbox.intake import Intake, Ready
from uploader.inbox.joining import DeliveredCall, SeenCall, join
from uploader.inbox.settings import InboxSettings

NAME = "20260102030405_0312345678_0698765432.zip"
PATTERN = re.compile(naming.DEFAULT_PATTERN)


class Drop:
    """A drop whose files have always settled, and an intake that is made anew at will."""

    def __init__(self, folder: Path, **changes) -> None:
        self.drop = folder / "drop"
        self.drop.mkdir()
        self.own = folder / "own"
        self.settings = replace(
            InboxSettings(
                directory=str(self.drop),
                settle_s=0.0,
                gather_s=900.0,
                max_file_bytes=8 << 20,
                max_wav_bytes=MAX_WAV_BYTES,
            ),
            **changes,
        )
        self.now_ns = 0
        self.restart()

    def restart(self) -> None:
        self.intake = Intake(self.settings, self.own, TOKYO, lambda: self.now_ns or self._newest())

    def _newest(self) -> int:
        return max((path.lstat().st_mtime_ns for path in self.drop.iterdir()), default=0)

    def put(self, name: str, content: bytes) -> None:
        (self.drop / name).write_bytes(content)

    def look(self) -> list[Ready]:
        return list(self.intake.look())

    def quarantined(self) -> list[tuple[str, str, bytes]]:
        found = []
        for path in sorted((self.own / "quarantine").glob("*.json")):
            said = json.loads(path.read_bytes())
            file = path.with_suffix(".file")
            found.append((said["reason"], said["name"], b"" if file.is_symlink() else file.read_bytes()))
        return found


def test_a_file_is_taken_and_goes_when_the_archive_has_it(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put(NAME, good())
    [ready] = drop.look()
    [part] = ready.parts
    assert (part.named.caller, part.named.callee, part.named.started_ns) == (
        "0312345678",
        "0698765432",
        1_767_290_645 * 10**9,
    )
    assert part.checked.wav.read_bytes() == wav()
    assert [one.call_id for one in drop.look()] == [ready.call_id]  # until the archive has it
    drop.intake.stored(ready)
    assert list(drop.drop.iterdir()) == []
    assert list((drop.own / "stage").iterdir()) == []
    assert drop.look() == []


def test_killed_in_between_it_is_looked_at_anew(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put(NAME, good())
    [before] = drop.look()
    drop.restart()
    [after] = drop.look()
    assert (after.call_id, after.parts[0].checked) == (before.call_id, before.parts[0].checked)


def test_a_file_that_changed_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put(NAME, good())
    [ready] = drop.look()
    drop.put(NAME, good(seed=1))
    drop.intake.stored(ready)
    assert (drop.drop / NAME).read_bytes() == good(seed=1)


def test_what_is_still_being_written_is_left_alone(tmp_path: Path) -> None:
    drop = Drop(tmp_path, settle_s=3600.0)
    drop.put(NAME, good()[:500])
    assert drop.look() == []
    drop.put("20260102030405_1_2.zip.filepart", b"")
    assert drop.look() == []
    assert drop.quarantined() == []


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_set_aside_with_its_reason(tmp_path: Path, what: str) -> None:
    make, reasons = BAD[what]
    content = make()
    drop = Drop(tmp_path)
    drop.put(NAME, content)
    assert drop.look() == []
    [(reason, name, kept)] = drop.quarantined()
    assert Reason(reason) in reasons
    assert (name, kept) == (NAME, content)
    assert list(drop.drop.iterdir()) == []
    assert list((drop.own / "stage").iterdir()) == []
    assert drop.intake.set_aside == 1


def test_what_is_no_file_is_set_aside_and_not_followed(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    (tmp_path / "secret").write_bytes(good())
    (drop.drop / NAME).symlink_to(tmp_path / "secret")
    os.mkfifo(drop.drop / NAME.replace("0312345678", "1"))
    assert drop.look() == []
    found = {path.suffix for path in (drop.own / "quarantine").iterdir()}
    assert found == {".file", ".json"}
    reasons = {json.loads(path.read_bytes())["reason"] for path in (drop.own / "quarantine").glob("*.json")}
    assert reasons == {"not_a_file"}
    assert (tmp_path / "secret").read_bytes() == good()


@pytest.mark.parametrize(
    "name",
    [
        "call.zip",
        "20261302030405_1_2.zip",
        "20260102030405_1_2.zip.exe",
        "20260102030405_1_2_3of2.zip",
        "..zip",
        "a b.zip",
    ],
)
def test_names_that_are_not_allowed(tmp_path: Path, name: str) -> None:
    drop = Drop(tmp_path)
    drop.put(name, good())
    assert drop.look() == []
    assert [one[:2] for one in drop.quarantined()] == [("name", name)]


def part(number: int, of: str = "") -> str:
    return f"20260102030405_0312345678_0698765432_{number}{of}.zip"


def test_split_calls_are_put_in_order(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    for number in (3, 1):
        drop.put(part(number, "of3"), good(seed=number))
        assert drop.look() == []
    drop.put(part(2, "of3"), good(seed=2))
    [ready] = drop.look()
    assert [one.named.part for one in ready.parts] == [1, 2, 3]
    assert [one.checked.wav.read_bytes() for one in ready.parts] == [wav(seed=number) for number in (1, 2, 3)]
    assert ready.missing == ()


def test_without_a_total_further_parts_are_waited_for(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put(part(1), good(seed=1))
    drop.put(part(2), good(seed=2))
    newest = drop._newest()
    drop.now_ns = newest + 899 * 10**9
    assert drop.look() == []
    drop.now_ns = newest + 900 * 10**9
    [ready] = drop.look()
    assert [one.named.part for one in ready.parts] == [1, 2]


def test_a_part_that_never_comes_is_waited_for_as_long_as_the_carrier_tries(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put(part(1, "of3"), good(seed=1))
    drop.put(part(3, "of3"), good(seed=3))
    newest = drop._newest()
    drop.now_ns = newest + KEPT_NS - 1
    assert drop.look() == []
    drop.now_ns = newest + KEPT_NS
    [ready] = drop.look()
    assert ([one.named.part for one in ready.parts], ready.missing) == ([1, 3], (2,))


@pytest.mark.parametrize(
    ("changes", "channels"), [({"channels": 1}, 1), ({"subtype": "ULAW"}, 2), ({"subtype": "ALAW", "channels": 1}, 1)]
)
def test_forms_of_audio_that_are_taken(tmp_path: Path, changes: dict, channels: int) -> None:
    drop = Drop(tmp_path)
    drop.put(NAME, good(**changes))
    [ready] = drop.look()
    assert (ready.parts[0].checked.channels, ready.parts[0].checked.frames) == (channels, 1600)
    assert samples_of(wav(**changes)).shape == (1600, channels)


def test_names_tell_the_call() -> None:
    def named(name: str) -> naming.Named:
        found = naming.parse(name, PATTERN, TOKYO)
        assert found is not None
        return found

    assert named(part(2)).call_id == named(part(1)).call_id == named(NAME).call_id
    assert named(part(1)).call_id != named(part(1).replace("0312345678", "0312345679")).call_id
    own = named("20260102030405_1_2_abcde-1_2.zip")
    assert (own.part, own.call_id) == (2, named("20260102033405_1_2_abcde-1_3.zip").call_id)


def test_a_countdown_of_seven_days() -> None:
    stages = [countdown(0, round(days * DAY_NS)).stage_days for days in (0, 0.9, 1, 2.9, 3, 5.9, 6, 9)]
    assert stages == [0, 0, 1, 1, 3, 3, 6, 6]
    assert countdown(DAY_NS, 3 * DAY_NS).left_s == 5 * 86_400
    assert countdown(DAY_NS, 3 * DAY_NS).deletes_ns == 8 * DAY_NS
    assert countdown(0, 9 * DAY_NS).left_s == 0


def seen(call: str, start_s: float = 100.0, length_s: float = 60.0, caller: str = "1", callee: str = "2") -> SeenCall:
    return SeenCall(call_id=call, started_ns=round(start_s * 1e9), length_s=length_s, caller=caller, callee=callee)


@pytest.mark.parametrize(
    ("candidates", "joined", "why"),
    [
        ([], "", "no call with these numbers"),
        ([seen("a")], "a", "same caller and callee, starts 1.5 s apart, 61.0 s delivered, 60.0 s seen"),
        ([seen("a", start_s=80), seen("b")], "b", "nearest of 2"),
        ([seen("a", start_s=60)], "", "no call"),
        ([seen("a", callee="3")], "", "no call"),
        ([seen("a", caller="")], "a", "same callee, caller unknown"),
        ([seen("a", caller="", length_s=200)], "", "no call"),
        ([seen("a", caller=""), seen("b", start_s=120)], "b", "same caller and callee"),
    ],
)
def test_joined_by_time_and_numbers(candidates: list[SeenCall], joined: str, why: str) -> None:
    delivered = DeliveredCall(started_ns=round(101.5 * 1e9), length_s=61.0, caller="1", callee="2")
    found = join(delivered, candidates, within_s=30)
    assert found.call_id == joined
    assert why in found.why


def test_a_zip_with_a_longer_story_is_read_whole(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put(NAME, bundle(("call.wav", wav(frames=200_000)), ("call.xml", b"<x/>"), ("read.txt", b"hello")))
    [ready] = drop.look()
    assert ready.parts[0].checked.frames == 200_000
