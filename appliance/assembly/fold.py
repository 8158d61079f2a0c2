"""Assembly: a fold over journal blocks. The result does not depend on where the blocks begin and end.

    step(block):  media      -> runs take note of where packets lie
                  signalling -> frame by frame: deadlines up to its time, then the frame
                  event      -> deadlines up to its time, then the event

    deadline                          | what happens
    ----------------------------------+-----------------------------------------------------------
    a call's end + linger             | last part and call record; the journal may forget
    a part's end + late               | the part is cut; the call goes on
    media timeout of an answered call | ends the call, unless it is on hold or media went on
    a run's last packet + 30 s        | media that no call claims becomes a recording of its own
    dialog timers                     | session expiry, unanswered calls

Time is packet time. Nothing here reads a clock or touches a file; the publisher writes, the journal reads.
"""

import heapq

from appliance.assembly.isolation import Isolation
from appliance.assembly.onlooker import Onlooker
from appliance.assembly.ownmedia import OwnMedia
from appliance.assembly.publish import Publisher
from appliance.assembly.recorder import Recorder
from appliance.assembly.settings import AssemblySettings, Record
from appliance.assembly.sipcalls import SipCalls
from appliance.assembly.state import AssemblyState, Due
from appliance.assembly.work import Work
from capture import discipline, ringblock
from capture.events import EventKind
from capture.intake import Intake
from capture.journal import Block, EventBlock, MediaBlock, RawBlock, SignallingBlock
from capture.packets import ReadInto
from capture.runs import INLINE, Run
from storage.errors import StorageError

RAW_NS = 500_000_000
"""How much time a block that nobody can read may be about."""


class Assembly:
    """Turns journal blocks into recordings and call records."""

    def __init__(
        self,
        settings: AssemblySettings,
        publisher: Publisher,
        read_into: ReadInto,
        state: AssemblyState | None = None,
        isolation: Isolation | None = None,
        onlooker: Onlooker | None = None,
    ) -> None:
        self.settings = settings
        self.state = state or AssemblyState()
        self._journal = read_into
        self._onlooker = onlooker
        if onlooker is not None:
            self.state.signalling.dialogs.listener = onlooker.said
        self.isolation = isolation or Isolation()
        recorder = Recorder(self.state, publisher, self._read_into, self.isolation)
        self._calls = SipCalls(publisher.book, self.state, recorder)
        self._media = OwnMedia(publisher.book, self.state, recorder, self._read_into)

    def step(self, block: Block) -> None:
        """Take in one block.

        Raises:
            StorageError: the archive cannot be written; the state is as before the call that failed.
        """
        if self.state.first_ns is None:
            self.state.first_ns = block.first_ns
        match block:
            case MediaBlock():
                self.state.outages.resume(block.first_ns)
                self._advance(block.first_ns)
                self.state.runs.register(block)
                self._media.watch_new_runs()
                if self._onlooker is not None:
                    self._onlooker.media(block)
            case SignallingBlock():
                self._read_frames(block)
            case RawBlock():
                self._read_raw(block)
            case EventBlock():
                for event in block.events:
                    if self._onlooker is not None:
                        self._onlooker.event(event)
                    self.state.outages.note(event)
                    self._advance(event.ts_ns)
                    if event.kind == EventKind.CONFIGURATION:
                        self.state.note_configuration(event.ts_ns, str(event.detail.get("digest", "")))
                    if event.kind == EventKind.STORAGE:
                        self.state.storage_full = bool(event.detail.get("full"))
                    if event.kind == EventKind.CLOCK_STEP:
                        self.state.note_clock_step(int(event.detail.get("at_ns", event.ts_ns)))
                    if (shift_ns := event.detail.get("shift_ns")) is not None:
                        self.state.note_shift(int(event.detail.get("since_ns", event.ts_ns)), int(shift_ns))
                    if (clock := discipline.told(event.detail)) is not None:
                        self.state.note_discipline(event.ts_ns, clock)
                    if event.kind == EventKind.END_OF_INPUT:
                        self._end_of_input(event.ts_ns)
        self.state.outages.see(block.last_ns)

    def skip(self, *, forgotten: bool) -> None:
        """A part of the journal before the next block cannot be read, or is not there any more."""
        self.state.outages.skip(forgotten=forgotten)

    def leave_out(self, block: Block) -> None:
        """A block that nobody gets past: what it is about is the recorder's loss."""
        self.state.outages.add(block.first_ns, block.last_ns + 1)
        self.state.outages.see(block.last_ns)

    def oldest_needed(self) -> int | None:
        """Return the journal address below which nothing is needed any more, None when nothing is needed at all."""
        runs = self.state.runs
        oldest = min((own for run in runs.by_number.values() if (own := run.oldest()) is not None), default=None)
        runs.forget_blocks(oldest)
        return oldest

    def oldest_wanted(self) -> int | None:
        """Return the address below which nothing is needed for what rules want; None when nothing is at all."""
        media = {number: work for work in self.state.works.values() if not work.sip_key for number in work.runs}
        runs = self.state.runs.by_number.values()
        return min(
            (oldest for run in runs if (oldest := run.oldest()) is not None and self._is_wanted(run, media)),
            default=None,
        )

    def _is_wanted(self, run: Run, media: dict[int, Work]) -> bool:
        """Whether a recording is going to be made of a run, as far as can be told; `media` by their runs' numbers."""
        state = self.state
        keys = {key for end in (run.source, run.destination) for key in state.announced.get(end, ())}
        works = [state.works[key] for key in keys if key in state.works]
        if run.number in media:
            works.append(media[run.number])
        if not works:
            return self.settings.record is Record.ALL
        return any(work.is_written for work in works)

    def _read_into(self, address: int, target: memoryview) -> None:
        if address >= INLINE:
            self.state.runs.read_inline(address, target)
        else:
            self._journal(address, target)

    def _advance(self, now_ns: int) -> None:
        """Do what is due before a time, in order."""
        state = self.state
        dialogs = state.signalling.dialogs
        while True:
            timer = dialogs.next_deadline()
            upcoming = state.due[0][0] if state.due else now_ns
            if timer is not None:
                upcoming = min(upcoming, timer)
            if upcoming >= now_ns:
                break
            state.now_ns = max(state.now_ns, upcoming)
            if timer is not None and timer <= upcoming:
                for call in dialogs.expire(upcoming):
                    self._calls.weigh_expiry(call)
                    self._calls.note(call)
                    if self._onlooker is not None:
                        self._onlooker.changed(upcoming, call)
            else:
                _, what, key = heapq.heappop(state.due)
                self._handle(Due(what), key)
        state.now_ns = max(state.now_ns, now_ns)

    def _handle(self, what: Due, key: str) -> None:
        """Do what is due; what goes wrong costs the call or medium it was due for and nothing else."""
        try:
            self._act(what, key)
        except StorageError:
            raise
        except Exception as error:
            if key in self.state.works and self.state.works[key].sip_key:
                self._calls.give_up(key, error)
            else:
                self._media.give_up(key, error)

    def _act(self, what: Due, key: str) -> None:
        match what:
            case Due.FINISH:
                self._calls.finish_due(key)
            case Due.CUT:
                (self._calls if key in self.state.signalling.dialogs.calls else self._media).cut_due(key)
            case Due.MEDIA:
                self._calls.media_due(key)
            case Due.RUN:
                self._media.run_due(int(key))

    def _read_frames(self, block: SignallingBlock) -> None:
        signalling = self.state.signalling
        if self._onlooker is not None:
            self._onlooker.frames(block)
        for ts_ns, call in signalling.receive(block.frames):
            if call is None:
                self._advance(ts_ns)
            else:
                self._calls.note(call)
                if self._onlooker is not None:
                    self._onlooker.changed(ts_ns, call)
            if signalling.loose:
                self._take_loose()

    def _read_raw(self, block: RawBlock) -> None:
        """Try to read what capture could not."""
        try:
            batch = ringblock.batch_of(block.data, block.interface)
            windows = list(Intake(self.settings.sip_ports).windows(batch))
        except Exception:  # whatever stopped capture may stop us too; the block stays in the journal
            self.state.counters.unread_blocks += 1
            self.state.outages.add_at(block.interface, block.first_ns, block.last_ns + RAW_NS)
            return
        for window in windows:
            self._advance(window.first_ns)
            self.state.runs.add_rows(window.extents, window.rows)
            self._media.watch_new_runs()
            if window.signalling is not None:
                self._read_frames(
                    SignallingBlock(first_ns=window.first_ns, last_ns=window.last_ns, frames=window.signalling)
                )

    def _take_loose(self) -> None:
        for packet in self.state.signalling.loose:
            ssrc = int.from_bytes(packet.payload[8:12], "big")
            self.state.runs.add_packet((packet.source, packet.destination, ssrc), packet.ts_ns, packet.payload)
        self.state.signalling.loose.clear()
        self._media.watch_new_runs()

    def _end_of_input(self, now_ns: int) -> None:
        """Finish everything: an input that has ended brings nothing more."""
        for call in self.state.signalling.finish(now_ns):
            self._calls.note(call)
        self._calls.end(now_ns)
        self._media.end(now_ns)
