"""Images for tests: a partition table like the appliance's, content that is not the same anywhere."""

import random
import uuid
from pathlib import Path

from appliance.flashing import gpt

SECTOR = gpt.SECTOR_BYTES
DATA_FIRST = 6144
SECTORS = 12288


def table() -> gpt.Table:
    names = ("esp", "boot-a", "data")
    borders = ((2048, 4095), (4096, DATA_FIRST - 1), (DATA_FIRST, SECTORS - 1 - gpt.TABLE_SECTORS))
    kind = uuid.UUID("5f0f3f35-6d1c-4d3e-8d80-726f6b75626f")
    partitions = tuple(
        gpt.Partition(type=kind, id=uuid.UUID(int=n), first_sector=first, last_sector=last, attributes=0, name=name)
        for n, (name, (first, last)) in enumerate(zip(names, borders, strict=True), 1)
    )
    return gpt.Table(disk_id=uuid.UUID(int=99), partitions=partitions, disk_sectors=SECTORS)


def image(path: Path) -> bytes:
    """Write an image, and return its octets."""
    primary, backup = gpt.serialize(table())
    whole = bytearray(random.Random(7).randbytes(SECTORS * SECTOR))
    whole[: len(primary)] = primary
    whole[-len(backup) :] = backup
    path.write_bytes(whole)
    return bytes(whole)
