"""Large objects go to an S3 store in parts, and a broken transfer goes on with the next one."""

from pathlib import Path

import pytest

from tests.uploader.parcels import NAME, BrokenOff, breaking, counting, parcel, some_bytes
from tests.uploader.targets.s3served import S3Served
from tests.uploader.targets.test_contract import deliver
from uploader.errors import TargetError
from uploader.targets.s3 import PART_BYTES

pytestmark = pytest.mark.thorough


def test_parts_that_are_there_are_not_sent_again(tmp_path: Path) -> None:
    size = 2 * PART_BYTES + (3 << 20)
    with S3Served(tmp_path) as served, parcel(tmp_path, some_bytes(size)) as one:
        with pytest.raises((BrokenOff, TargetError)):
            deliver(served, breaking(one, PART_BYTES + 100_000))
        assert served.read(NAME) is None
        rest = counting(one)
        deliver(served, rest)
        assert served.read(NAME) == some_bytes(size)
        assert sum(rest.counted) == size - PART_BYTES
        assert served.names() == {NAME}
