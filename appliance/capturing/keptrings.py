"""Rings that outlive the capture process: how their sockets are called in the manager's descriptor store.

A name holds what the next process needs to find the interface again: the port's configured name, the number of the
interface that fills the ring, its permanent MAC, the ring's size, which may be another one than it would get now.
Beside them marks say that recording had begun, and of which rings the journal does not tell yet: whoever goes on with
such a ring has to, or nobody ever says what was missed before it.
"""

import os
from dataclasses import dataclass

from appliance.supervision import servicenotify

_RING = "ring"
_MARK = "recording"
_UNTOLD = "untold"


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKey:
    """Which ring it is."""

    port: str
    """The port's configured name."""
    ifindex: int
    """Number of the interface; a later one has a higher number."""
    mac: str
    """Its MAC, `00:11:...`; empty when it has none."""
    ring_bytes: int
    block_bytes: int
    """The size that the ring was opened with."""

    def serialize(self) -> str:
        """Return the name in the store, which has no colons."""
        mac = self.mac.replace(":", "")
        return f"{_RING}-{self.port}-{self.ifindex}-{mac}-{self.ring_bytes}-{self.block_bytes}"


def parse(name: str) -> RingKey | None:
    """Return what a name in the store says; None when it is no ring's."""
    kind, _, rest = name.partition("-")
    port, ifindex, mac, ring_bytes, block_bytes = ([""] * 5 + rest.rsplit("-", 4))[-5:]
    if kind != _RING or not port or not all(number.isdecimal() for number in (ifindex, ring_bytes, block_bytes)):
        return None
    return RingKey(
        port=port,
        ifindex=int(ifindex),
        mac=":".join(mac[n : n + 2] for n in range(0, len(mac), 2)),
        ring_bytes=int(ring_bytes),
        block_bytes=int(block_bytes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the process before left."""

    rings: dict[RingKey, int]
    """Descriptors, in order of the interfaces' numbers."""
    untold: dict[RingKey, "Untold"]
    """Of these, the ones of which the journal may not tell."""
    was_recording: bool
    """Whether there was such a process, and it had begun to record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A mark: a ring was opened, and nothing in the journal says so yet."""

    name: str
    """What it is called in the store."""
    opened_ns: int
    """Since when the ring holds what its interface shows."""


def take() -> Kept:
    """Take what was left, once."""
    stored = servicenotify.stored()
    keys = {name: parse(name) for name in stored}
    rings = {key: stored[name] for name, key in keys.items() if key is not None}
    for name, key in keys.items():
        if key is None:
            os.close(stored[name])
            if name.startswith(f"{_RING}-"):  # another version's: it would be filled for ever, and nobody would read it
                forget(name)
    untold = dict(found for name in stored if (found := _parse_untold(name)) is not None)
    for left in untold.keys() - rings.keys():
        forget(untold.pop(left).name)
    ordered = sorted(rings.items(), key=lambda item: item[0].ifindex)
    return Kept(rings=dict(ordered), untold=untold, was_recording=bool(rings) or _MARK in stored)


def _parse_untold(name: str) -> tuple[RingKey, Untold] | None:
    kind, opened, ring = [*name.split("-", 2), "", ""][:3]
    key = parse(ring)
    if kind != _UNTOLD or not opened.isdecimal() or key is None:
        return None
    return key, Untold(name=name, opened_ns=int(opened))


def keep(key: RingKey, fileno: int) -> None:
    """Have a ring kept, in place of one of the same key."""
    forget(key.serialize())
    servicenotify.store(key.serialize(), fileno)


def forget(name: str) -> None:
    """Have a ring kept no longer."""
    servicenotify.forget(name)


def drop(key: RingKey, fileno: int) -> None:
    """Let a ring end that nobody wants any more."""
    forget(key.serialize())
    os.close(fileno)


def mark_untold(key: RingKey, opened_ns: int) -> Untold:
    """Have the next process know that it has to tell of a ring that is opened now; until the mark is forgotten."""
    mark = Untold(name=f"{_UNTOLD}-{opened_ns}-{key.serialize()}", opened_ns=opened_ns)
    _mark(mark.name)
    return mark


def mark_recording() -> None:
    """Have the next process know that recording had begun: it waits for ports that are not there."""
    _mark(_MARK)


def _mark(name: str) -> None:
    descriptor = os.memfd_create(name)
    servicenotify.store(name, descriptor)
    os.close(descriptor)
