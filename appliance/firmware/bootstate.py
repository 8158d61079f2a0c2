"""Which slot is started, as variables of GRUB (`image/grub.cfg` reads them). Pure.

Those of RAUC's own GRUB backend, and one more:

| variable | meaning                                                                         |
|----------|---------------------------------------------------------------------------------|
| `ORDER`  | names of the slots, the one to be started first                                 |
| `X_OK`   | 1: the slot may be started                                                      |
| `X_TRY`  | starts of it that have not come so far that they took this back                 |
| `TRIAL`  | the slot that has never proved itself: it has 3 starts, any other one has 9     |

| asked                | then                                                              |
|----------------------|-------------------------------------------------------------------|
| primary X            | `ORDER` begins with X, `X_OK=1 X_TRY=0 TRIAL=X`: it is on trial   |
| X is good            | `X_OK=1 X_TRY=0`, and its trial is over                           |
| X is bad             | `X_OK=0 X_TRY=0`, and its trial is over                           |

Each is one change of one sector.
"""

from collections.abc import Mapping

SLOTS = ("A", "B")
TRIAL_STARTS, STARTS = 3, 9
"""As `image/grub.cfg` has them."""

Variables = Mapping[str, str]


def order(variables: Variables) -> list[str]:
    """The slots, the first to be started first; every slot is in it once."""
    named = [name for name in variables.get("ORDER", "").split() if name in SLOTS]
    return list(dict.fromkeys([*named, *SLOTS]))


def starts(variables: Variables, slot: str) -> int:
    """Starts that have not come far enough. What is no number counts as none left."""
    told = variables.get(f"{slot}_TRY", "0")
    return int(told) if told.isascii() and told.isdigit() else STARTS


def is_good(variables: Variables, slot: str) -> bool:
    """Whether the slot may be started and has a start left."""
    limit = TRIAL_STARTS if variables.get("TRIAL") == slot else STARTS
    return variables.get(f"{slot}_OK") == "1" and starts(variables, slot) < limit


def primary(variables: Variables) -> str:
    """The slot that will be started next."""
    return next((slot for slot in order(variables) if is_good(variables, slot)), fallback(variables))


def fallback(variables: Variables) -> str:
    """What is started when no slot has a start left: a box that does not boot tells nobody anything."""
    return next((slot for slot in order(variables) if variables.get(f"{slot}_OK") == "1"), SLOTS[0])


def with_primary(variables: Variables, slot: str) -> dict[str, str]:
    """Have the slot started next, on trial."""
    others = [name for name in order(variables) if name != slot]
    return {**variables, "ORDER": " ".join([slot, *others]), f"{slot}_OK": "1", f"{slot}_TRY": "0", "TRIAL": slot}


def with_state(variables: Variables, slot: str, *, good: bool) -> dict[str, str]:
    """Say that a slot is good, or bad."""
    changed = {**variables, f"{slot}_OK": "1" if good else "0", f"{slot}_TRY": "0"}
    if changed.get("TRIAL") == slot:
        changed["TRIAL"] = ""
    return changed
