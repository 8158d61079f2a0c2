"""What smartctl says, shortened to what counts: disks that are well, worn, failing, and such that say nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.volume.smart import Health, Verdict, parse


def attribute(number: int, name: str, raw: int) -> dict:
    return {
        "id": number,
        "name": name,
        "value": 100,
        "worst": 100,
        "thresh": 10,
        "raw": {"value": raw, "string": str(raw)},
    }


def ata(*, passed: bool = True, **raw: int) -> dict:
    names = {"reallocated": 5, "hours": 9, "pending": 197, "uncorrectable": 198}
    return {
        "json_format_version": [1, 0],
        "smartctl": {"version": [7, 3], "exit_status": 0},
        "device": {"name": "/dev/sda", "type": "sat", "protocol": "ATA"},
        "model_name": "WDC WD40EFRX-68N32N0",
        "smart_status": {"passed": passed},
        "ata_smart_attributes": {
            "revision": 16,
            "table": [attribute(number, name, raw.get(name, 0)) for name, number in names.items()],
        },
        "power_on_time": {"hours": 30_211},
        "temperature": {"current": 38},
    }


def nvme(**log: int) -> dict:
    return {
        "smartctl": {"version": [7, 3], "exit_status": 0},
        "device": {"name": "/dev/nvme0", "type": "nvme", "protocol": "NVMe"},
        "model_name": "SAMSUNG MZVL21T0HCLR-00B00",
        "smart_status": {"passed": True, "nvme": {"value": 0}},
        "nvme_smart_health_information_log": {
            "critical_warning": 0,
            "temperature": 41,
            "available_spare": 100,
            "percentage_used": 3,
            "media_errors": 0,
            **log,
        },
        "temperature": {"current": 41},
        "power_on_time": {"hours": 812},
    }


NOT_ROOT = {
    "smartctl": {
        "version": [7, 3],
        "exit_status": 2,
        "messages": [{"string": "Smartctl open device: /dev/sda failed: Permission denied", "severity": "error"}],
    }
}
USB_BRIDGE = {
    "smartctl": {
        "exit_status": 1,
        "messages": [{"string": "/dev/sdb: Unknown USB bridge [0x1234:0x5678 (0x100)]", "severity": "error"}],
    }
}


def health(tree: dict) -> Health:
    return parse(json.dumps(tree).encode())


def test_a_disk_that_is_well() -> None:
    assert health(ata()) == Health(
        verdict=Verdict.GOOD, model="WDC WD40EFRX-68N32N0", temperature_c=38, power_on_h=30_211
    )
    assert health(nvme()) == Health(
        verdict=Verdict.GOOD,
        model="SAMSUNG MZVL21T0HCLR-00B00",
        temperature_c=41,
        power_on_h=812,
        worn_percent=3,
    )


@pytest.mark.parametrize(
    ("tree", "verdict", "problem"),
    [
        (ata(passed=False), Verdict.FAILING, "the disk says that it is failing"),
        (ata(uncorrectable=7), Verdict.FAILING, "7 sectors cannot be read"),
        (ata(reallocated=8), Verdict.WARNING, "8 sectors were replaced"),
        (ata(pending=1), Verdict.WARNING, "1 sectors wait to be read again"),
        (ata(reallocated=3 << 32), Verdict.GOOD, None),
        (nvme(critical_warning=4), Verdict.FAILING, "critical warning 0x04"),
        (nvme(media_errors=2), Verdict.FAILING, "2 media errors"),
        (nvme(percentage_used=90), Verdict.WARNING, "90 % of its life is used up"),
        (nvme(available_spare=9), Verdict.WARNING, "9 % of its spare blocks are left"),
        ({**nvme(), "temperature": {"current": 70}}, Verdict.WARNING, "70 degrees C"),
        (NOT_ROOT, Verdict.UNKNOWN, "Smartctl open device: /dev/sda failed: Permission denied"),
        (USB_BRIDGE, Verdict.UNKNOWN, "/dev/sdb: Unknown USB bridge [0x1234:0x5678 (0x100)]"),
    ],
)
def test_what_speaks_against_a_disk(tree: dict, verdict: Verdict, problem: str | None) -> None:
    found = health(tree)
    assert found.verdict is verdict
    assert found.problems == ((problem,) if problem else ())


def test_the_worst_counts_and_everything_is_told() -> None:
    found = health(ata(passed=False, reallocated=2, pending=3))
    assert found.verdict is Verdict.FAILING
    assert len(found.problems) == 3


@pytest.mark.parametrize("told", [b"", b"smartctl: command not found", b"[]", b"1", b"\xff", b"[" * 100_000])
def test_no_answer(told: bytes) -> None:
    assert parse(told).verdict is Verdict.UNKNOWN


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "smartctl",
                    "messages",
                    "string",
                    "smart_status",
                    "passed",
                    "ata_smart_attributes",
                    "table",
                    "id",
                    "raw",
                    "value",
                    "temperature",
                    "current",
                    "nvme_smart_health_information_log",
                    "percentage_used",
                ]
            ),
            inner,
        )
    ),
)


@given(TREES)
def test_anything_is_read(tree: object) -> None:
    assert parse(json.dumps(tree).encode()).verdict in Verdict
