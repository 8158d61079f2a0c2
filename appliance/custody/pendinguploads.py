"""What delivery still needs of an archive: neither retention nor a request erases it."""

from collections.abc import Collection
from pathlib import Path

from uploader import queueview
from uploader.errors import QueueError
from uploader.queueview import QueueView


class PendingUploads:
    """Which calls wait for a target. Looks at the queue, which `rokubox-upload` owns."""

    def __init__(self, root: Path, enterprises: Collection[str]) -> None:
        """`enterprises`: IDs of those whose recordings are delivered."""
        self._root = root
        self._enterprises = frozenset(enterprises)

    def needs(self, call_id: str) -> bool:
        """Whether something of a call waits; a queue that cannot be read says so of every call."""
        if not self._enterprises or not queueview.exists(self._root):
            return False
        try:
            with QueueView(self._root) as queue:
                return queue.is_pending(call_id)
        except QueueError:
            return True

    def snapshot(self) -> "PendingSnapshot":
        """What waits now, for whoever looks at everything. Raises QueueError."""
        if not self._enterprises or not queueview.exists(self._root):
            return PendingSnapshot(set(), 0, self._enterprises)
        with QueueView(self._root) as queue:
            return PendingSnapshot(queue.pending_calls(), queue.place.number, self._enterprises)


class PendingSnapshot:
    """What waits at one moment."""

    def __init__(self, calls: set[str], taken_in: int, enterprises: frozenset[str]) -> None:
        """`taken_in`: lines of the ledger that delivery knows of."""
        self._calls = calls
        self._taken_in = taken_in
        self._enterprises = enterprises

    def needs(self, call_id: str, enterprise: str | None, position: int) -> bool:
        """Whether a call, whose newest line in the ledger has this number, waits or was not even taken in."""
        return call_id in self._calls or (enterprise in self._enterprises and position >= self._taken_in)
