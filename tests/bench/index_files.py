"""Call records and parts as files, many and quickly: the bytes of one record with other ids, times and numbers."""

import hashlib
from datetime import timedelta
from pathlib import Path

from storage.json_form import to_json
from storage.layout import day_folder
from storage.timestamps import rfc3339
from tests.bench.index_rows import DAY_NS, FIRST, FIRST_NS, customer, line
from tests.storage.samples import CALL_ID, STEM, TOKYO, at, call_record

CALLS_A_DAY = 1000


def write_archive(root: Path, count: int) -> None:
    """An archive of `count` calls with one part each, `CALLS_A_DAY` a day; of the parts there is only the name."""
    template = to_json(call_record())
    for number in range(count):
        day, within = divmod(number, CALLS_A_DAY)
        call_id = hashlib.sha256(b"%d" % number).hexdigest()
        started_ns = FIRST_NS + day * DAY_NS + within * 80_000_000_000
        started = rfc3339(started_ns, TOKYO)
        stem = f"{started[:19].replace('-', '').replace(':', '')}+0900_out_{line(number % 200)}_x_{call_id[:10]}_p01"
        record = (
            template.replace(CALL_ID.encode(), call_id.encode())
            .replace(STEM.encode(), stem.encode())
            .replace(at(-1).encode(), started.encode())
            .replace(at(2).encode(), rfc3339(started_ns + 3_000_000_000, TOKYO).encode())
            .replace(b'"0312345678"', f'"{line(number % 200)}"'.encode())
            .replace(b'"0698765432"', f'"{customer(number % 60_000)}"'.encode())
        )
        folder = day_folder((FIRST + timedelta(days=day)).strftime("%Y-%m-%d"))
        if not within:
            (root / "calls" / folder).mkdir(parents=True)
            (root / "recordings" / folder).mkdir(parents=True)
        (root / "calls" / folder / f"{call_id}.json").write_bytes(record)
        (root / "recordings" / folder / f"{stem}.zip").touch()
