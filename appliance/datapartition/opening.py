"""The data partition opened at every start: by the TPM, else by a key on a stick, else by one that is typed."""

from pathlib import Path

from appliance.datapartition import luks, medium, texts
from appliance.datapartition.consoles import Consoles
from appliance.datapartition.errors import DataPartitionError, LockedError

_LOOK_AGAIN_S = 2.0


def opened(device: Path, consoles: Consoles) -> Path:
    """The device with the file system, however long it takes until somebody comes with a key."""
    if by_tpm := luks.has_tpm_key(device):
        try:
            luks.open_by_tpm(device)
            return luks.MAPPED
        except LockedError as error:
            consoles.say(texts.NOT_OPENED_BY_TPM.format(problem=error))
    key = _opening_key(device, consoles)
    if by_tpm and luks.has_tpm():
        # Another board, or a TPM that was cleared: it opens it from now on.
        try:
            luks.add_tpm(device, key)
        except DataPartitionError as error:
            consoles.say(texts.NOT_OPENED_BY_TPM.format(problem=error))
    return luks.MAPPED


def _opening_key(device: Path, consoles: Consoles) -> str:
    """A key that has opened it."""
    tried: set[str] = set()
    is_told = False
    while True:
        with medium.plugged_in() as stick:
            keys = stick.keys() if stick is not None else []
        for key in keys:
            if key not in tried and _does_open(device, key):
                return key
            tried.add(key)
        if not is_told:
            consoles.forget()
            consoles.say(texts.LOCKED)
            is_told = True
        if typed := consoles.line(_LOOK_AGAIN_S, shown=False):
            if _does_open(device, typed):
                return typed
            consoles.say(texts.WRONG_KEY)


def _does_open(device: Path, key: str) -> bool:
    try:
        luks.open_by(device, key)
    except LockedError:
        return False
    return True
