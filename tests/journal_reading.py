"""What a journal holds, for tests of what capture tells."""

from pathlib import Path

from capture.journal import Block, Event, EventBlock
from capture.journalreader import JournalReader


def blocks(journal: Path) -> list[Block]:
    """All blocks that can be read now."""
    found: list[Block] = []
    with JournalReader(journal) as reader:
        while (item := reader.next()) is not None:
            found.append(item[1])
    return found


def events(journal: Path, kind: str) -> list[Event]:
    """All events of a kind, in order."""
    return [
        event
        for block in blocks(journal)
        if isinstance(block, EventBlock)
        for event in block.events
        if event.kind == kind
    ]
