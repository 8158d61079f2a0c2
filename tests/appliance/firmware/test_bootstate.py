"""Which slot is started: by our rules, and by the script that GRUB runs."""

import itertools
import re
from pathlib import Path

import pytest

from appliance.firmware import bootstate

GRUB = (Path(__file__).parents[3] / "image/grub.cfg").read_text()
FRESH = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "0", "B_TRY": "0"}


def started(variables: dict[str, str]) -> tuple[str, dict[str, str]]:
    """What image/grub.cfg does, in other words: the slot that it starts, and the variables afterwards."""
    slot, last = "", ""
    after = dict(variables)
    for candidate in (variables.get("ORDER") or "A B").split():
        count = variables.get(f"{candidate}_TRY") or "0"
        limit = 3 if candidate == variables.get("TRIAL") else 9
        if variables.get(f"{candidate}_OK") == "1":
            last = last or candidate
            if not slot and int(count) < limit:
                slot, after[f"{candidate}_TRY"] = candidate, str(int(count) + 1)
    return slot or last or "A", after


def test_the_script_has_the_same_limits() -> None:
    found = re.search(r'if \[ "\$candidate" = "\$TRIAL" \]; then set limit=(\d); else set limit=(\d); fi', GRUB)
    assert found is not None
    assert tuple(map(int, found.groups())) == (bootstate.TRIAL_STARTS, bootstate.STARTS)


def test_what_we_say_is_primary_is_what_is_started() -> None:
    for order, trial, *rest in itertools.product(("A B", "B A", ""), ("", "A", "B"), "01", "0389", "01", "0389"):
        values = dict(zip(("A_OK", "A_TRY", "B_OK", "B_TRY"), rest, strict=True))
        variables = {"ORDER": order, "TRIAL": trial, **values}
        assert bootstate.primary(variables) == started(variables)[0], variables


def test_a_new_slot_has_three_starts_and_then_the_old_one_runs() -> None:
    variables = bootstate.with_primary(FRESH, "B")
    slots = []
    for _ in range(5):
        slot, variables = started(variables)
        slots.append(slot)
    assert slots == ["B", "B", "B", "A", "A"]


def test_a_slot_that_proves_itself_stays() -> None:
    variables = bootstate.with_primary(FRESH, "B")
    slot, variables = started(variables)
    variables = bootstate.with_state(variables, slot, good=True)
    assert (variables["B_OK"], variables["B_TRY"], variables["TRIAL"]) == ("1", "0", "")
    assert [started(variables)[0] for _ in range(9)] == ["B"] * 9


def test_who_plays_with_the_switch_has_nine_starts() -> None:
    variables = bootstate.with_state(FRESH, "B", good=True)
    slots = []
    for _ in range(10):
        slot, variables = started(variables)
        slots.append(slot)
    assert slots == ["A"] * 9 + ["B"]


def test_with_no_start_left_the_first_good_one_is_tried_for_ever() -> None:
    variables = {"ORDER": "B A", "B_OK": "1", "B_TRY": "9", "A_OK": "0", "A_TRY": "0"}
    assert [started(variables)[0] for _ in range(3)] == ["B"] * 3


@pytest.mark.parametrize("variables", [{}, {"ORDER": "C"}, {"A_TRY": "x"}])
def test_an_environment_that_is_lost_starts_the_first_slot(variables: dict[str, str]) -> None:
    assert bootstate.primary(variables) == "A"


def test_while_it_is_written_a_slot_is_not_started() -> None:
    assert not bootstate.is_good(bootstate.with_state(FRESH, "B", good=False), "B")
    assert bootstate.primary(bootstate.with_state(FRESH, "B", good=False)) == "A"
