"""Snapshots of assembly's state, so that the journal is needed only from the oldest open part on.

An assembly that goes on from a snapshot gives the same bytes as one that was never interrupted.
"""

import struct
from array import array
from typing import Any

import msgspec
from crc32c import crc32c

from appliance.assembly.state import AssemblyState
from appliance.errors import SnapshotError
from capture.dialog import DialogState, DialogTable
from capture.runs import RunState, RunTable

FORMAT = 14
"""Changes with every change of the state's shape; an older snapshot is not read, the journal is."""
_HEAD = struct.Struct("<4sII")
_MAGIC = b"RKBS"


def dump(state: AssemblyState) -> bytes:
    """Serialise the state."""
    body = msgspec.msgpack.encode(state, enc_hook=_to_plain)
    return _HEAD.pack(_MAGIC, FORMAT, crc32c(body)) + body


def load(snapshot: bytes) -> AssemblyState:
    """Read what `dump` wrote.

    Raises:
        SnapshotError: damaged, or of another format.
    """
    if len(snapshot) < _HEAD.size:
        raise SnapshotError("snapshot is cut short")
    magic, version, crc = _HEAD.unpack_from(snapshot)
    body = snapshot[_HEAD.size :]
    if magic != _MAGIC or version != FORMAT:
        raise SnapshotError(f"not a snapshot of format {FORMAT}")
    if crc32c(body) != crc:
        raise SnapshotError("snapshot fails its checksum")
    try:
        return msgspec.msgpack.decode(body, type=AssemblyState, dec_hook=_from_plain)
    except msgspec.MsgspecError as error:
        raise SnapshotError(f"snapshot does not hold what it should: {error}") from error


def _to_plain(value: Any) -> Any:
    match value:
        case array():
            return value.tobytes()
        case RunTable() | DialogTable():
            return value.state
    raise NotImplementedError(f"no plain form for {type(value).__name__}")


def _from_plain(kind: type, plain: Any) -> Any:
    if kind is array:
        return array("Q", plain)
    if kind is RunTable:
        return RunTable(msgspec.convert(plain, RunState, dec_hook=_from_plain))
    if kind is DialogTable:
        return DialogTable(msgspec.convert(plain, DialogState, dec_hook=_from_plain))
    raise NotImplementedError(f"no value of {kind.__name__}")
