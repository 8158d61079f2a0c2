"""The journal's heartbeat: what was written becomes durable once a second, in a thread that nobody waits for."""

import threading
import time
from types import TracebackType

from capture.errors import JournalWriteError
from capture.journalstore import JournalStore


class SyncThread:
    """Calls the store's `sync` every `period_s`, from `start` to `stop`. The kernel's wait holds up nobody else."""

    def __init__(self, store: JournalStore, *, period_s: float = 1.0) -> None:
        self._store = store
        self._period_s = period_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self.longest_s = 0.0
        """The longest that a sync took; may be set to 0 to begin anew."""
        self.error: JournalWriteError | None = None
        """Why the last sync failed; None when it did not."""
        self.failures = 0
        """Syncs that failed."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the sync that is running. What was written since the last one is the store's `close` to sync."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._period_s):
            self._sync()

    def _sync(self) -> None:
        began = time.monotonic()
        try:
            self._store.sync()
            self.error = None
        except JournalWriteError as error:
            self.error = error
            self.failures += 1
        self.longest_s = max(self.longest_s, time.monotonic() - began)

    def __enter__(self) -> "SyncThread":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
