"""What the end of a journal says of the time line that it was written on: read before another capture goes on with it.

Files are gone through from the newest back, until one tells where the line was.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from capture import journal, journalscan
from capture.bootline import Left, Mark, Setting
from capture.errors import JournalError
from capture.events import EventKind
from capture.journal import Event, EventBlock

UNREAD_NS = 1_000_000_000
"""A step so long before a tick, or less, may have packets before it that were not read."""


def read(directory: Path) -> Left:
    """Read the end of a journal, before rings are opened. Damage is passed over, as is what cannot be read.

    Somebody who is taken over from may still write to it; what he tells meanwhile is told once more.
    """
    last_ns, numbers = 0, list[int]()
    with suppress(OSError):
        numbers = journalscan.numbers(directory)
    steps: list[Event] = []
    for number in reversed(numbers):
        mark: Mark | None = None
        began, found = False, []
        for block_last_ns, events in _blocks(journalscan.path_of(directory, number)):
            last_ns = max(last_ns, block_last_ns)
            for event in events:
                began = began or event.kind == EventKind.START
                mark = _mark(event) or mark
                found += [event] if event.kind == EventKind.CLOCK_STEP else []
        steps = found + steps
        if mark is not None:
            since_ns = mark.at_ns - UNREAD_NS
            settings = [setting for step in steps if (setting := _setting(step)) and setting.at_ns >= since_ns]
            return Left(last_ns=max(last_ns, mark.at_ns), mark=mark, settings=settings)
        if began:
            break
    return Left(last_ns=last_ns)


def _blocks(path: Path) -> Iterator[tuple[int, Sequence[Event]]]:
    """Yield of each block its last time and its events."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        size, offset = os.fstat(descriptor).st_size, 0
        while offset < size:
            header = journalscan.head_at(descriptor, offset)
            if header is None:
                offset = journalscan.find_head(descriptor, offset + 1, size)
                continue
            head = header[0]
            is_events = head["kind"] == journal.BlockKind.EVENT
            yield int(head["last_ns"]), _events(descriptor, offset, int(head["bytes"])) if is_events else ()
            offset += int(head["bytes"])
    except (OSError, JournalError):
        return
    finally:
        os.close(descriptor)


def _events(descriptor: int, offset: int, size: int) -> Sequence[Event]:
    try:
        block = journal.parse(np.frombuffer(journalscan.read(descriptor, offset, size), np.uint8), offset)
    except JournalError:
        return ()
    return block.events if isinstance(block, EventBlock) else ()


def _mark(event: Event) -> Mark | None:
    """Return where the line was, if an event tells it."""
    detail = event.detail
    if event.kind not in (EventKind.START, EventKind.TICK) or "base_ns" not in detail:
        return None
    return Mark(
        boot_id=str(detail["boot_id"]),
        boot_ns=int(detail["boot_ns"]),
        real_ns=int(detail["real_ns"]),
        base_ns=int(detail["base_ns"]),
        shift_ns=int(detail["shift_ns"]),
    )


def _setting(event: Event) -> Setting | None:
    detail = event.detail
    if "shift_ns" not in detail:
        return None
    return Setting(
        at_ns=int(detail["at_ns"]),
        step_ns=int(detail["step_ns"]),
        since_ns=int(detail["since_ns"]),
        shift_ns=int(detail["shift_ns"]),
    )
