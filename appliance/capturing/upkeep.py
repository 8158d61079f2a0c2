"""The disk kept in order, in whatever time it takes: the configuration's text kept, the journal forgotten, room
measured. One round after the other; what a round came to is the daemon's to tell."""

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.assembling import journalneeds, setaside
from appliance.capturing import configtexts
from appliance.capturing.settings import CaptureSettings
from capture.bootline import BootLine
from capture.errors import JournalWriteError
from capture.journalstore import JournalStore

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one round came to."""

    free_bytes: int
    """Room on the volume."""
    digest: str | None
    """Of the configuration, once its text is kept; empty without one."""
    quarantined: frozenset[str]
    """What assembly has put into its quarantine."""
    troubles: tuple[str, ...]
    """What the disk refused."""


class Upkeep:
    """The rounds over one journal."""

    def __init__(self, settings: CaptureSettings, store: JournalStore, line: BootLine) -> None:
        self._settings = settings
        self._store = store
        self._line = line
        self._digest: str | None = None

    def go_round(self) -> Found:
        """Do what is due."""
        troubles: list[str] = []
        for task in (self._keep_configuration, self._forget):
            try:
                task()
            except JournalWriteError as error:
                troubles.append(str(error))
        quarantine = self._settings.quarantine
        return Found(
            free_bytes=_free_bytes(self._settings.volume),
            digest=self._digest,
            quarantined=frozenset(() if quarantine is None else setaside.names(quarantine)),
            troubles=tuple(troubles),
        )

    def _keep_configuration(self) -> None:
        if self._digest is None:
            text = self._settings.configuration
            self._digest = "" if text is None else configtexts.keep(self._settings.journal, text)

    def _forget(self) -> None:
        """Drop what assembly is done with, and beyond the journal's bounds whatever is oldest."""
        settings, store = self._settings, self._store
        needs = journalneeds.read(settings.run)
        store.turn_over(needs.turned)
        store.forget_before(needs.needed)
        oldest_ns = self._line.now_ns() - int(settings.journal_max_age_s * _NS)
        while store.bytes_held > settings.journal_bytes or any(
            journalneeds.is_expired(file, needs, oldest_ns) for file in store.files()[:-1]
        ):
            if store.forget_oldest() is None:
                break


def _free_bytes(volume: Path) -> int:
    try:
        status = os.statvfs(volume)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
