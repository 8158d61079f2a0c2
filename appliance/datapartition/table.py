"""What the partition table says of the data partition, and how it changes. Pure."""

from dataclasses import replace
from enum import StrEnum

from appliance.datapartition.errors import TableError
from appliance.flashing.gpt import BACKUP_SECTORS, Table

_ALIGNED_SECTORS = 2048


class State(StrEnum):
    """What the data partition is, as its name says."""

    UNMADE = "data-unmade"
    """Nothing is in it that anybody needs."""
    MADE = "data"
    ERASING = "data-erasing"
    """A factory reset was confirmed, and is not finished."""


def state(table: Table, number: int) -> State:
    """Of partition `number`. Raises TableError when it has another name than the data partition can have."""
    name = table.partitions[number - 1].name if number <= len(table.partitions) else ""
    try:
        return State(name)
    except ValueError:
        raise TableError(f"partition {number} is named {name!r}, not {State.MADE.value!r}") from None


def named(table: Table, number: int, new: State) -> Table:
    """With another name for a partition."""
    return _with(table, number, name=new.value)


def grown(table: Table, number: int, disk_sectors: int) -> Table:
    """With all the room of the disk for a partition; as it is when there is none, or another one behind it."""
    partition = table.partitions[number - 1]
    end = (disk_sectors - BACKUP_SECTORS) // _ALIGNED_SECTORS * _ALIGNED_SECTORS - 1
    is_last = all(other.first_sector <= partition.first_sector for other in table.partitions)
    if not is_last or end <= partition.last_sector:
        return table
    return replace(_with(table, number, last_sector=end), disk_sectors=disk_sectors)


def sectors_of(table: Table, number: int) -> int:
    """How large a partition is."""
    partition = table.partitions[number - 1]
    return partition.last_sector + 1 - partition.first_sector


def _with(table: Table, number: int, **changed: str | int) -> Table:
    partitions = list(table.partitions)
    partitions[number - 1] = replace(partitions[number - 1], **changed)  # type: ignore[arg-type]
    return replace(table, partitions=tuple(partitions))
