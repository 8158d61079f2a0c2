"""What comes into the inbox, into the archive: joined with what was seen, and taken in by the archive's owner."""

import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.custody.archiveclient import Ask, asking_daemon, checked
from appliance.custody.archiverequests import DeliveredFile, TakeIn
from appliance.errors import RequestError
from appliance.uploading.clerk import WHO
from storage.archive import Archive
from storage.errors import StorageError
from storage.index.numbers import searchable
from storage.index.query import NumberMatch, Query, Sort
from storage.index.reader import IndexReader
from storage.vocabulary import SAMPLE_RATE_HZ
from uploader.inbox import joining
from uploader.inbox.countdown import countdown
from uploader.inbox.intake import Intake, Ready
from uploader.inbox.joining import NS, DeliveredCall, Join, SeenCall
from uploader.inbox.settings import InboxSettings
from uploader.status import InboxStatus

MOST_CANDIDATES = 50


class InboxClerk:
    """Looks into the inbox now and then. For one thread at a time."""

    def __init__(
        self, settings: InboxSettings, archive: Archive, folder: Path, zone: ZoneInfo, say: Callable[[str], None]
    ) -> None:
        """`folder`: the uploader's own. `say` is told of what was set aside."""
        self._settings = settings
        self._archive = archive
        self._say = say
        self._intake = Intake(settings, folder, zone, time.time_ns)
        self._stored = 0
        self._trouble = ""
        self._set_aside = self._intake.set_aside

    def look(self) -> None:
        """Take in what is there."""
        self._trouble = ""
        try:
            ready = list(self._intake.look())
            if ready:
                self._take_in(ready)
        except (StorageError, RequestError) as error:
            self._trouble = f"what was received waits: {error}"
        except OSError as error:
            self._trouble = f"nothing can be received: {error.strerror}"
        if (count := self._intake.set_aside) > self._set_aside:
            self._say(f"alarm: {count - self._set_aside} delivered files were set aside; `rokubox inbox` tells why")
        self._set_aside = self._intake.set_aside

    def is_able(self) -> bool:
        """Whether something could be received now."""
        return self._intake.is_able()

    def status(self, able_ns: int, now_ns: int) -> InboxStatus:
        """How it stands, when something could be received at `able_ns` last."""
        able = self.is_able()
        return InboxStatus(
            able=able,
            trouble=self._trouble or ("" if able else "the directory is not there, cannot be written, or has no room"),
            waiting=self._intake.waiting,
            set_aside=self._set_aside,
            stored=self._stored,
            countdown=None if able else countdown(able_ns, now_ns),
        )

    def _take_in(self, calls: list[Ready]) -> None:
        with asking_daemon(self._archive) as ask:
            for ready in calls:
                self._take_in_one(ask, ready)

    def _take_in_one(self, ask: Ask, ready: Ready) -> None:
        join = self._join(ready)
        first = ready.parts[0].named
        request = TakeIn(
            call_id=ready.call_id,
            started_ns=min(part.named.started_ns for part in ready.parts),
            caller=first.caller,
            callee=first.callee,
            files=tuple(
                DeliveredFile(
                    part=part.named.part, wav_sha256=part.checked.wav.stem, zip_sha256=part.checked.zip_sha256
                )
                for part in ready.parts
            ),
            missing=ready.missing,
            joined=join.call_id or None,
            who=WHO,
            why=join.why,
        )
        try:
            checked(ask(request))
        except RequestError:
            self._intake.refused(ready)
        else:
            self._stored += 1
            self._intake.stored(ready)

    def _join(self, ready: Ready) -> Join:
        """The call that was seen, by the index; none when there is no index."""
        first = ready.parts[0].named
        delivered = DeliveredCall(
            started_ns=min(part.named.started_ns for part in ready.parts),
            length_s=sum(part.checked.frames for part in ready.parts) / SAMPLE_RATE_HZ,
            caller=searchable(first.caller),
            callee=searchable(first.callee),
        )
        number = delivered.callee or delivered.caller
        if not number:
            return Join(call_id="", why="its name tells no number")
        within_ns = round(self._settings.join_s * NS)
        query = Query(
            number=NumberMatch(searchable=number),
            from_ns=delivered.started_ns - within_ns,
            to_ns=delivered.started_ns + within_ns + 1,
            sort=Sort.TIME,
            limit=MOST_CANDIDATES,
        )
        try:
            with IndexReader(self._archive.index) as index:
                hits = index.search(query).hits
        except StorageError:
            return Join(call_id="", why="there was no index to find the call in")
        seen = [
            SeenCall(
                call_id=hit.call_id,
                started_ns=hit.started_ns,
                length_s=hit.length_ms / 1000,
                caller=searchable(hit.caller),
                callee=searchable(hit.callee),
            )
            for hit in hits
            if hit.call_id != ready.call_id
        ]
        return joining.join(delivered, seen, within_s=self._settings.join_s)
