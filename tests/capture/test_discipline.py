"""What the kernel says of its clock, read and told."""

import pytest

from capture import discipline
from capture.discipline import Discipline

PLL, FLL, UNSYNC, NANO = 0x0001, 0x0008, 0x0040, 0x2000
OK, ERROR = 0, 5


@pytest.mark.parametrize(
    ("state", "status", "offset", "expected"),
    [
        (ERROR, UNSYNC, 0, Discipline(synchronised=False)),
        (ERROR, UNSYNC | PLL | NANO, 7_000_000, Discipline(synchronised=False)),
        (-1, 0, 0, Discipline(synchronised=False)),  # the kernel does not say
        (OK, 0, 0, Discipline(synchronised=True)),  # chrony corrects it by itself
        (OK, PLL | NANO, -3_400_000, Discipline(synchronised=True, offset_ms=-3)),
        (OK, PLL, 2_600, Discipline(synchronised=True, offset_ms=3)),
        (1, FLL | NANO, 12_000_000, Discipline(synchronised=True, offset_ms=12)),  # a leap second is to come
    ],
)
def test_of_the_kernel(state: int, status: int, offset: int, expected: Discipline) -> None:
    found = discipline.of_kernel(state, status, offset)
    assert found == expected
    assert discipline.told({"boot_id": "b", **found.facts()}) == found


def test_an_event_that_does_not_tell() -> None:
    assert discipline.told({"boot_id": "b"}) is None
