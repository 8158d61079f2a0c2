"""The condition of an archive: what is a concern, told when it comes and goes, kept for others to read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.condition import board, judging, observed
from appliance.condition.board import Board
from appliance.condition.concerns import Concern
from appliance.condition.record import NAME, Condition
from appliance.condition.seen import DiskSeen, Figures, RetentionSeen, ScrubSeen
from storage.errors import VolumeError
from storage.verify.defects import Kind
from storage.verify.scrub import FoundDefect
from storage.volume.smart import Verdict

GIB = 1 << 30
WELL = Figures(
    free_bytes=100 * GIB,
    free_inodes=1_000_000,
    reserve_bytes=GIB,
    clock_confirmed=True,
    clock_ahead_s=None,
    ledger_entries=7,
    backup_at_ns=None,
    scrub=ScrubSeen(last_run_ns=1, last_whole_round_ns=1, defects=0),
    disk=DiskSeen(
        at_ns=1,
        mount_point="/archive",
        file_system="ext4",
        read_only=False,
        uuid="0f1e",
        disk="/dev/sda",
        health=Verdict.UNKNOWN,
        problems=("smartctl is not installed",),
        model="",
        temperature_c=None,
        power_on_h=None,
        worn_percent=None,
        write_median_ms=3.0,
        write_longest_ms=900.0,
    ),
    retention=RetentionSeen(
        at_ns=1,
        calls=3,
        bytes=GIB,
        growth_bytes_a_day=GIB,
        days_until_full=3,
        days_until_short=None,
        short_bytes=0,
        overdue=(),
        damaged=0,
    ),
)


def changed(**changes: Any) -> Figures:
    """`WELL` with changes, of which `disk_` and `retention_` go to what is below."""
    figures = WELL
    for name, value in changes.items():
        for inner in ("disk", "retention"):
            if name.startswith(f"{inner}_"):
                below = replace(getattr(figures, inner), **{name.removeprefix(f"{inner}_"): value})
                figures = replace(figures, **{inner: below})
                break
        else:
            figures = replace(figures, **{name: value})
    return figures


class Heard:
    """What a board is told that is not well."""

    def __init__(self) -> None:
        self.concerns: dict[tuple[Concern, str], str] = {}

    def say(self, concern: Concern, what: str, *, part: str = "") -> None:
        if what:
            self.concerns[concern, part] = what


def judged(figures: Figures, *defects: FoundDefect, time_is_known: bool = True) -> dict[tuple[Concern, str], str]:
    heard = Heard()
    judging.say(heard, figures, defects, time_is_known=time_is_known)
    return heard.concerns


def found(kind: Kind, subject: str) -> FoundDefect:
    return FoundDefect(kind=kind, subject=subject, what="is not what was recorded", found_ns=1)


def test_nothing_is_wrong() -> None:
    assert judged(WELL) == {}
    assert judged(replace(WELL, disk=None, retention=None)) == {}


@pytest.mark.parametrize(
    ("changes", "concern", "part", "what"),
    [
        ({"free_bytes": GIB - 1}, Concern.DISK_SPACE, "", "1,023 MiB are free, less than the 1,024 MiB"),
        ({"free_inodes": 999}, Concern.DISK_SPACE, "", "999 inodes are free"),
        ({"clock_confirmed": False}, Concern.CLOCK_UNCONFIRMED, "", "not confirmed within 24 hours"),
        ({"clock_ahead_s": 864_000.0}, Concern.CLOCK_UNCONFIRMED, "", "disputed, +10.0 days off"),
        (
            {"disk_health": Verdict.FAILING, "disk_problems": ("2 media errors",)},
            Concern.DISK_HEALTH,
            "",
            "failing: 2 m",
        ),
        (
            {"disk_health": Verdict.WARNING, "disk_problems": ("70 degrees C",)},
            Concern.DISK_HEALTH,
            "",
            "warning: 70 d",
        ),
        ({"disk_write_median_ms": 500.0}, Concern.DISK_LATENCY, "", "a small write takes 500 ms"),
        ({"retention_days_until_short": 14}, Concern.DAYS_UNTIL_FULL, "", "in 14 days the disk is too small"),
        ({"retention_short_bytes": 5}, Concern.DISK_SPACE, "retention", "5 bytes are wanted"),
        ({"retention_overdue": ("E1 is kept",)}, Concern.CONTRACT_OVERDUE, "", "E1 is kept"),
    ],
)
def test_what_is_a_concern(changes: dict[str, Any], concern: Concern, part: str, what: str) -> None:
    ((key, told),) = judged(changed(**changes)).items()
    assert key == (concern, part)
    assert what in told


def test_what_is_none_yet() -> None:
    assert judged(changed(disk_write_median_ms=499.0)) == {}
    assert judged(changed(disk_write_median_ms=None)) == {}
    assert judged(changed(retention_days_until_short=15)) == {}
    assert judged(changed(clock_confirmed=False), time_is_known=False) == {}


def test_what_the_scrub_has_found() -> None:
    of_files = [found(Kind.ALTERED, "part 1"), found(Kind.ALTERED, "part 1"), found(Kind.MISSING, "part 2")]
    defects = [*of_files, found(Kind.SIGNATURE, "the checkpoint")]
    assert judged(WELL, *defects) == {
        (Concern.BIT_ROT, ""): "2 files not as recorded: run/scrub.json says what",
        (Concern.LEDGER_FAULT, "scrub"): "1 defect in the ledger: run/scrub.json says what",
    }


def begun(run: Path, told: list[str]) -> Board:
    made = Board(run, lambda line, **_: told.append(line))
    made.begin(lambda: None)
    return made


def test_told_once_and_kept_until_it_is_over(tmp_path: Path) -> None:
    told: list[str] = []
    one = begun(tmp_path, told)
    one.show(WELL)
    for _ in range(3):
        one.say(Concern.BIT_ROT, "1 file")
    one.say(Concern.BIT_ROT, "2 files")
    one.say(Concern.LEDGER_FAULT, "broken", part="books")
    one.say(Concern.LEDGER_FAULT, "", part="scrub")
    one.poll()
    assert told == ["alarm: 1 file", "alarm: broken"]
    kept = observed.read(tmp_path, NAME, Condition)
    assert kept is not None
    assert [(each.concern, each.part, each.what) for each in kept.concerns] == [
        (Concern.BIT_ROT, "", "2 files"),
        (Concern.LEDGER_FAULT, "books", "broken"),
    ]
    assert kept.figures == WELL
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o640
    # The owner was killed; the next one knows what stands, and since when.
    other = begun(tmp_path, told)
    other.say(Concern.BIT_ROT, "2 files")
    other.say(Concern.LEDGER_FAULT, "", part="books")
    other.poll()
    assert told[2:] == ["over: broken"]
    again = observed.read(tmp_path, NAME, Condition)
    assert again is not None
    assert again.concerns == kept.concerns[:1]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_the_file_says_that_its_owner_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = begun(tmp_path, [])
    one.poll()
    first = json.loads((tmp_path / NAME).read_bytes())
    one.poll()
    assert json.loads((tmp_path / NAME).read_bytes()) == first
    monkeypatch.setattr(board, "WRITE_S", 0.0)
    one.poll()
    again = json.loads((tmp_path / NAME).read_bytes())
    assert again.pop("at_ns") > first.pop("at_ns")
    assert again == first == {"schema": "rokubox.storage/1", "concerns": [], "figures": None}


def test_nothing_is_written_to_another_disk(tmp_path: Path) -> None:
    def gone() -> None:
        raise VolumeError("the archive's disk is not there")

    told: list[str] = []
    one = Board(tmp_path, lambda line, **_: told.append(line))
    one.say(Concern.DISK_REFUSES, "waits")
    one.poll()
    one.begin(gone)
    one.poll()
    assert told == ["alarm: waits"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"schema": "other"}'])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert observed.read(tmp_path, NAME, Condition) is None
    begun(tmp_path, []).poll()
    assert observed.read(tmp_path, NAME, Condition) is not None


def test_a_disk_that_does_not_take_it_costs_nothing(tmp_path: Path) -> None:
    begun(tmp_path / "no", []).poll()
    assert not observed.write(tmp_path / "no", NAME, Condition(at_ns=1, concerns=(), figures=None))
