"""Legal holds in force: what the ledger's hold entries come to. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from storage.ledger.entries import Hold


@dataclass(slots=True)
class Holds:
    """Which holds name which calls. A call stays held until the last of its holds is released."""

    by_call: dict[str, set[str]] = field(default_factory=dict)
    """Names of the holds in force, by call id."""

    def apply(self, entry: Hold) -> None:
        """Take note of one entry; entries come in the ledger's order."""
        for call_id in entry.call_ids:
            names = self.by_call.setdefault(call_id, set())
            (names.add if entry.hold == "set" else names.discard)(entry.name)
            if not names:
                del self.by_call[call_id]

    def names(self, call_id: str) -> frozenset[str]:
        """The holds that name a call."""
        return frozenset(self.by_call.get(call_id, ()))

    def named(self, name: str) -> list[str]:
        """Ids of the calls that a hold names, sorted."""
        return sorted(call_id for call_id, names in self.by_call.items() if name in names)

    def __contains__(self, call_id: object) -> bool:
        return call_id in self.by_call


def in_force(entries: Iterable[Hold]) -> Holds:
    """Every hold that was set and not released."""
    holds = Holds()
    for entry in entries:
        holds.apply(entry)
    return holds


def by_name(holds: Holds) -> Mapping[str, int]:
    """How many calls each hold names, by its name, sorted."""
    counts: dict[str, int] = {}
    for names in holds.by_call.values():
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
