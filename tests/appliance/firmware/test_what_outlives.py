"""What the data partition holds is read by the version before, when an update is rolled back (decision 041)."""

import re
from pathlib import Path

from appliance.firmware import updatestatus
from appliance.telemetry import statefile
from capture import journal
from storage.index import schema
from uploader import deliveryqueue

REPOSITORY = Path(__file__).parents[3]


def test_a_format_changes_in_two_releases() -> None:
    """Whoever changes one of these reads the new one a release before he writes it."""
    assert {
        "journal": journal.VERSION,
        "index": schema.VERSION,
        "delivery queue": deliveryqueue._FORM.version,
        "agent's file": statefile._FORM.version,
        "update": updatestatus.UpdateStatus.__dataclass_fields__["schema"].default,
    } == {"journal": 1, "index": 1, "delivery queue": 1, "agent's file": 1, "update": "rokubox.update/1"}


def test_users_keep_their_numbers() -> None:
    image = REPOSITORY / "image"
    lines = [
        line
        for folder in (REPOSITORY / "systemd/sysusers.d", image / "overlay/usr/lib/sysusers.d")
        for file in sorted(folder.glob("*.conf"))
        for line in file.read_text().splitlines()
    ]
    declared = dict(re.findall(r"^[gu] +(\S+) +(\S+)", "\n".join(lines), re.MULTILINE))
    numbers = dict(re.findall(r"^[gu] +(\S+) +(\d+)$", (image / "users").read_text(), re.MULTILINE))
    given = {name: number if number.isdigit() else numbers[name] for name, number in declared.items()}
    assert len(set(given.values())) == len(given)
    assert numbers == {
        **{"rokubox": "770", "rokubox-journal": "771", "rokubox-records": "772", "rokubox-audio": "773"},
        **{"rokubox-capture": "774", "rokubox-assemble": "775", "rokubox-upload": "776", "rokubox-agent": "777"},
        **{"rokubox-selftest": "778", "rokubox-update": "779"},
    }
