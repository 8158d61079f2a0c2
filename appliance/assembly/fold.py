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
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from appliance.assembly import media
from appliance.assembly.account import Ending, account
from appliance.assembly.legs import Legs
from appliance.assembly.publish import Publisher
from appliance.assembly.render import Placed, Renderer, spans_of
from appliance.assembly.settings import NS, AssemblySettings, Record
from appliance.assembly.settings import Legs as LegsSetting
from appliance.assembly.work import Work, sip_call_id
from capture import binding, rules
from capture.binding import BoundStream
from capture.endpoint import Endpoint
from capture.journal import Block, EventBlock, MediaBlock, SignallingBlock
from capture.packets import ReadInto
from capture.rules import Decision, RuleReason
from capture.runs import INLINE, PAUSE_NS, Run, RunTable
from capture.signalling import Signalling
from capture.sipcall import EndCause, SipCall
from dsp.timeline import SAMPLE_NS
from storage.errors import ConflictError, DiskFullError, StorageError
from storage.vocabulary import Reason

FAILED_LINGER_NS = 5 * NS
"""How long a call that was not answered is kept for a retry before its record is written."""
END_OF_INPUT = "end_of_input"


class Due(IntEnum):
    """What a deadline is for; at the same time they come in this order."""

    FINISH = 1
    CUT = 2
    MEDIA = 3
    RUN = 4


@dataclass(slots=True, kw_only=True)
class AssemblyCounters:
    """What became of media that is in no recording."""

    too_late: int = 0
    """Packets after the end of their call."""
    not_rtp: int = 0
    """Packets that looked like RTP and are not (RFC 3550 A.1)."""
    not_wanted: int = 0
    """Packets of calls and media that no rule asks for."""


@dataclass(slots=True, kw_only=True)
class AssemblyState:
    """Everything that is carried from block to block. Plain data."""

    now_ns: int = 0
    first_ns: int | None = None
    """Time of the first block."""
    ended_ns: int | None = None
    """Time of the end of input, once there is one."""
    signalling: Signalling = field(default_factory=Signalling)
    runs: RunTable = field(default_factory=RunTable)
    works: dict[str, Work] = field(default_factory=dict)
    """SIP calls by dialog key, media by call id."""
    due: list[tuple[int, int, str]] = field(default_factory=list)
    """Heap of deadlines: time, `Due`, key or run number."""
    announced: dict[Endpoint, dict[str, None]] = field(default_factory=dict)
    """Media addresses of SIP calls that go on."""
    known_media: dict[str, int] = field(default_factory=dict)
    """How many descriptions of each call are in `announced`."""
    legs: Legs = field(default_factory=Legs)
    counters: AssemblyCounters = field(default_factory=AssemblyCounters)


class Assembly:
    """Turns journal blocks into recordings and call records."""

    def __init__(
        self,
        settings: AssemblySettings,
        publisher: Publisher,
        read_into: ReadInto,
        state: AssemblyState | None = None,
    ) -> None:
        self.settings = settings
        self.state = state or AssemblyState()
        self._publisher = publisher
        self._journal = read_into
        self._renderer = Renderer(settings=settings, read_into=self._read_into, signalling=self.state.signalling)

    def step(self, block: Block) -> None:
        """Take in one block.

        Raises:
            StorageError: the archive cannot be written; the state is as before the call that failed.
        """
        if self.state.first_ns is None:
            self.state.first_ns = block.first_ns
        match block:
            case MediaBlock():
                self._advance(block.first_ns)
                self.state.runs.register(block)
                self._watch_new_runs()
            case SignallingBlock():
                self._signalling(block)
            case EventBlock():
                for event in block.events:
                    self._advance(event.ts_ns)
                    if event.kind == END_OF_INPUT:
                        self._end_of_input(event.ts_ns)

    def oldest_needed(self) -> int | None:
        """Return the journal address below which nothing is needed any more, None when nothing is needed at all."""
        return min((oldest for run in self.state.runs.by_number.values() if (oldest := run.oldest()) is not None), default=None)

    def _read_into(self, address: int, target: memoryview) -> None:
        if address >= INLINE:
            self.state.runs.read_inline(address, target)
        else:
            self._journal(address, target)

    # --- time ---

    def _set(self, ns: int, what: Due, key: str) -> None:
        heapq.heappush(self.state.due, (ns, what, key))

    def _advance(self, now_ns: int) -> None:
        """Do what is due before a time, in order."""
        state = self.state
        dialogs = state.signalling.dialogs
        while True:
            timer = dialogs.next_deadline()
            upcoming = min((ns for ns in (timer, state.due[0][0] if state.due else None) if ns is not None), default=None)
            if upcoming is None or upcoming >= now_ns:
                break
            state.now_ns = max(state.now_ns, upcoming)
            if timer is not None and timer <= upcoming:
                for call in dialogs.expire(upcoming):
                    self._weigh_expiry(call)
                    self._note(call)
            else:
                _, what, key = heapq.heappop(state.due)
                self._handle(Due(what), key)
        state.now_ns = max(state.now_ns, now_ns)

    def _handle(self, what: Due, key: str) -> None:
        match what:
            case Due.FINISH:
                self._finish_due(key)
            case Due.CUT:
                self._cut_due(key)
            case Due.MEDIA:
                self._media_due(key)
            case Due.RUN:
                self._run_due(int(key))

    # --- signalling ---

    def _signalling(self, block: SignallingBlock) -> None:
        signalling = self.state.signalling
        for ts_ns, call in signalling.receive(block.frames):
            if call is None:
                self._advance(ts_ns)
            else:
                self._note(call)
            if signalling.loose:
                self._take_loose()

    def _take_loose(self) -> None:
        for packet in self.state.signalling.loose:
            ssrc = int.from_bytes(packet.payload[8:12], "big")
            self.state.runs.add_packet((packet.source, packet.destination, ssrc), packet.ts_ns, packet.payload)
        self.state.signalling.loose.clear()
        self._watch_new_runs()

    def _note(self, call: SipCall) -> None:
        """A call has changed."""
        state = self.state
        work = state.works.get(call.key)
        if work is None:
            work = self._open(call)
        self._announce(call)
        if call.answered_ns is not None and state.legs.answered(call.key):
            self._set(call.answered_ns + self.settings.media_timeout_ns, Due.MEDIA, call.key)
            self._set(call.answered_ns + self._segment_ns + self.settings.late_ns, Due.CUT, call.key)
        if call.is_over and state.legs.over(call.key, call.ended_ns):
            linger = self.settings.linger_ns if call.answered_ns is not None else FAILED_LINGER_NS
            ended = call.ended_ns if call.ended_ns is not None else call.last_ns
            self._set(max(ended + linger, state.now_ns), Due.FINISH, call.key)

    @property
    def _segment_ns(self) -> int:
        return self.settings.segment_s * NS

    def _open(self, call: SipCall) -> Work:
        work = Work(
            call_id=sip_call_id(call), first_ns=call.first_ns, decision=self._decide(call), sip_key=call.key
        )
        self.state.works[call.key] = work
        self.state.legs.link(call, work, self.state.signalling.dialogs.calls, self.state.works)
        return work

    def _decide(self, call: SipCall) -> Decision:
        if self.settings.record is Record.ALL and not self.settings.enterprises:
            return Decision(wanted=True, reason=RuleReason.NONE, rule="record all")
        decision = rules.decide(
            self.settings.enterprises,
            caller=call.caller.number,
            asserted=call.asserted,
            callee=call.callee.number,
            dialled=call.dialled,
            diversion=call.diversion,
        )
        if self.settings.record is Record.ALL and not decision.wanted:
            return Decision(
                wanted=True,
                reason=RuleReason.NONE,
                rule="record all",
                enterprise=decision.enterprise,
                line=decision.line,
                direction=decision.direction,
            )
        return decision

    def _announce(self, call: SipCall) -> None:
        state = self.state
        if state.known_media.get(call.key) == len(call.media):
            return
        state.known_media[call.key] = len(call.media)
        for endpoint in binding.endpoints(call):
            state.announced.setdefault(endpoint, {})[call.key] = None

    # --- SIP calls ---

    def _finish_due(self, key: str) -> None:
        call = self.state.signalling.dialogs.calls.get(key)
        if call is None or not call.is_over:
            self.state.legs.revived(key)
            return
        ended = call.ended_ns if call.ended_ns is not None else call.last_ns
        cause = call.end_cause or EndCause.NO_ANSWER
        self._finish(call, Ending(cause=cause, ended_ns=ended, joined_late=self._joined_late(call)))

    def _joined_late(self, call: SipCall) -> bool:
        return call.joined_late

    def _media_due(self, key: str) -> None:
        """An answered call without media for too long has ended, unless it is on hold."""
        call = self.state.signalling.dialogs.calls.get(key)
        if call is None or call.is_over or call.answered_ns is None:
            return
        timeout = self.settings.media_timeout_ns
        last = max(binding.silent_since(call, self.state.runs, call.answered_ns, timeout), call.last_ns)
        for hold in call.holds:
            last = max(last, hold.end_ns if hold.end_ns is not None else self.state.now_ns)
        if last + timeout > self.state.now_ns:
            self._set(last + timeout, Due.MEDIA, key)
            return
        call.end(last, EndCause.MEDIA_TIMEOUT)
        self._note(call)

    def _weigh_expiry(self, call: SipCall) -> None:
        """A session that ran out while media flow goes on; otherwise the media tell when it really ended."""
        if call.end_cause is not EndCause.SESSION_EXPIRED or call.answered_ns is None or call.ended_ns is None:
            return
        last = binding.silent_since(call, self.state.runs, call.answered_ns, self.settings.media_timeout_ns)
        if last > call.ended_ns:
            self.state.signalling.dialogs.go_on(call, last)
        elif last > call.answered_ns and not call.held_at(last):
            call.ended_ns = last

    def _cut_due(self, key: str) -> None:
        work = self.state.works.get(key)
        if work is None:
            return
        call = self.state.signalling.dialogs.calls.get(key)
        if call is not None and call.is_over and call.ended_ns is not None and call.ended_ns < self.state.now_ns - self.settings.late_ns:
            return
        close_ns = self.state.now_ns
        if not self._is_recorded(work, call):
            self._set(close_ns + self._segment_ns, Due.CUT, key)
            return
        streams = self._streams(work, call, close_ns)
        self._part(work, call, streams, close_ns, None)
        next_cut = work.cut_ns(self.settings.segment_s * 8000) or close_ns + self._segment_ns
        self._set(max(next_cut + self.settings.late_ns, close_ns + 1), Due.CUT, key)

    def _streams(self, work: Work, call: SipCall | None, close_ns: int) -> list[BoundStream]:
        """Return the streams that belong to a recording up to a time."""
        if call is not None:
            from_ns = max(work.closed_ns + 1 if not work.members else 0, 0 if call.joined_late else call.first_ns)
            return binding.bind(call, self.state.runs, from_ns, close_ns)
        return media.streams(work, self.state.runs, close_ns)

    def _is_recorded(self, work: Work, call: SipCall | None) -> bool:
        if not work.decision.wanted:
            return False
        if call is None:
            return True
        if call.answered_ns is None:
            return False
        if self.settings.record is Record.RULES and self.settings.legs is LegsSetting.ONE:
            other = self.state.legs.nearer(work, self.state.works, self.state.signalling.dialogs.calls)
            if other:
                work.decision = Decision(
                    wanted=False,
                    reason=RuleReason.LINE_UNKNOWN,
                    rule="another leg is nearer to the line",
                    enterprise=work.decision.enterprise,
                    line=work.decision.line,
                    direction=work.decision.direction,
                )
                return False
        return True

    def _finish(self, call: SipCall, ending: Ending) -> None:
        """Write the last part and the record of a call that is over, and let go of everything it held."""
        state = self.state
        work = state.works[call.key]
        close_ns = ending.ended_ns + self.settings.linger_ns
        streams = self._streams(work, call, close_ns)
        if self._is_recorded(work, call):
            self._part(work, call, streams, close_ns, ending)
        else:
            state.counters.not_wanted += sum(run.rows for stream in streams for run in stream.runs)
        self._claim(streams, 0 if call.joined_late else call.first_ns, close_ns)
        links = state.legs.links(call, work)
        self._publisher.call(account(self._publisher, work, call, links, ending))
        for companion in work.companions:
            self._publisher.call(
                account(self._publisher, companion, call, media.links(companion), _companion_ending(companion, ending))
            )
        del state.works[call.key]
        self._withdraw(call)
        state.legs.forget(call, work)
        state.signalling.dialogs.forget(call)

    def _withdraw(self, call: SipCall) -> None:
        """The call's addresses are free; runs that waited for it are looked at again."""
        state = self.state
        state.known_media.pop(call.key, None)
        for endpoint in binding.endpoints(call):
            holders = state.announced.get(endpoint)
            if holders is not None:
                holders.pop(call.key, None)
                if not holders:
                    del state.announced[endpoint]
            for run in state.runs.at(endpoint):
                self._set(max(run.last_ns + PAUSE_NS + 1, state.now_ns), Due.RUN, str(run.number))

    def _claim(self, streams: list[BoundStream], from_ns: int, until_ns: int) -> None:
        for stream in streams:
            for run in stream.runs:
                run.claimed.append((max(from_ns, stream.from_ns), until_ns))

    # --- parts ---

    def _part(self, work: Work, call: SipCall | None, streams: list[BoundStream], close_ns: int, ending: Ending | None) -> None:
        """Render and write the next part, and those of second streams."""
        renderer = self._renderer
        parted = {key: companion for companion in work.companions for key in companion.members}
        mine = [stream for stream in streams if stream.key not in parted]
        audio = [stream for stream in mine if stream.media == "audio"]
        placed = renderer.place(work, audio, self._codecs(call), self._keys(call), close_ns)
        chosen, rivals = renderer.settle(work, placed)
        if ending is not None:
            renderer.note_unrecorded(work, placed)
            self._list_other_media(work, call, mine)
        answered_ns = call.answered_ns if call is not None and work.sip_key else None
        if answered_ns is not None or any(chosen.values()):
            renderer.fix_origin(work, chosen, answered_ns)
            self._write(work, call, chosen, close_ns, ending)
        for rival in rivals:
            companion = renderer.companion(work, rival, media.link_to(work, call))
            parted[rival.stream.key] = companion
        for companion in work.companions:
            theirs = [stream for stream in streams if parted.get(stream.key) is companion]
            self._companion_part(companion, call, theirs, close_ns, ending)

    def _companion_part(
        self, companion: Work, call: SipCall | None, streams: list[BoundStream], close_ns: int, ending: Ending | None
    ) -> None:
        placed = self._renderer.place(companion, streams, self._codecs(call), self._keys(call), close_ns)
        chosen, rivals = self._renderer.settle(companion, placed)
        self._renderer.note_unrecorded(companion, rivals)
        if any(chosen.values()):
            self._renderer.fix_origin(companion, chosen, None)
        if companion.origin_ns is not None:
            self._write(companion, call, chosen, close_ns, ending)

    def _write(
        self, work: Work, call: SipCall | None, chosen: "dict[binding.Side, list[Placed]]", close_ns: int, ending: Ending | None
    ) -> None:
        segment = self.settings.segment_s * 8000
        holder = call if work.sip_key else None
        end_ns = close_ns if ending is None else ending.ended_ns
        held = spans_of(holder, work, end_ns) if holder is not None else []
        ends = [int(one.track.end[-1]) for mine in chosen.values() for one in mine]
        end = max([work.sample_at(end_ns) if work.sip_key else 0, *ends])
        while ending is None or end > work.next_sample + segment:
            last = work.next_sample + segment
            self._emit(work, call, chosen, last, end, held, None)
            work.next_sample = last
            self._renderer.let_go(work, chosen, close_ns)
            if ending is None:
                return
            chosen = self._again(work, call, chosen, close_ns)
        self._emit(work, call, chosen, None, end, held, ending.ended_ns)

    def _again(
        self, work: Work, call: SipCall | None, chosen: "dict[binding.Side, list[Placed]]", close_ns: int
    ) -> "dict[binding.Side, list[Placed]]":
        """Place what is left after a part, when a call ends after a cut that is not done yet."""
        return {
            side: [
                one
                for one in self._renderer.place(
                    work, [old.stream for old in mine], self._codecs(call), self._keys(call), close_ns
                )
                if one.track.has_audio
            ]
            for side, mine in chosen.items()
        }

    def _emit(
        self,
        work: Work,
        call: SipCall | None,
        chosen: "dict[binding.Side, list[Placed]]",
        last: int | None,
        end: int,
        held: list[tuple[int, int]],
        ended_ns: int | None,
    ) -> None:
        rendered = self._renderer.render(work, chosen, last, end, held)
        if rendered is None:
            return
        work.digits += rendered.digits
        work.codecs += [stream.codec for side in rendered.streams.values() for stream in side]
        holder = call if work.sip_key else None
        links = self.state.legs.links(holder, work) if holder is not None else media.links(work)
        try:
            work.parts.append(self._publisher.part(work, call, links, rendered, ended_ns))
            work.next_part += 1
        except ConflictError:
            work.failed = work.failed or Reason.DECODE_FAILED
        except DiskFullError:
            work.failed = Reason.DISK_FULL
            raise
        except StorageError:
            raise

    def _codecs(self, call: SipCall | None) -> Callable[[BoundStream], dict[int, str]]:
        if call is None:
            return media.codecs
        return lambda stream: binding.payload_types(call, stream.key) or media.codecs(stream)

    def _keys(self, call: SipCall | None) -> Callable[[BoundStream], list[tuple[str, bytes]]]:
        if call is None:
            return lambda _: []
        return lambda stream: binding.crypto(call, stream.key)

    def _list_other_media(self, work: Work, call: SipCall | None, streams: list[BoundStream]) -> None:
        others = [stream for stream in streams if stream.media != "audio"]
        if others:
            placed = self._renderer.place(work, others, self._codecs(call), self._keys(call), others[0].until_ns)
            self._renderer.note_unrecorded(work, placed)

    # --- media of its own ---

    def _watch_new_runs(self) -> None:
        runs = self.state.runs
        for run in runs.begun:
            self._set(run.first_ns + PAUSE_NS + 1, Due.RUN, str(run.number))
            self._set(run.first_ns + self._segment_ns + self.settings.late_ns, Due.RUN, str(run.number))
        runs.begun.clear()

    def _run_due(self, number: int) -> None:
        """A run may be complete, or long enough for its first part."""
        state = self.state
        run = state.runs.by_number.get(number)
        if run is None or self._waits(run):
            return
        group = media.group(run, state.runs)
        idle_ns = max(member.last_ns for member in group) + PAUSE_NS
        owner = self._owner(group)
        if idle_ns < state.now_ns:
            if owner is not None:
                members = {run.number for run in media.recognise(group, self._read_into)}
                owner.runs = sorted({*owner.runs, *members})
            self._finish_medium(owner or self._begin_medium(group), group)
            return
        self._set(idle_ns + 1, Due.RUN, str(number))
        begun_ns = min(member.first_ns for member in group)
        if owner is None and state.now_ns >= begun_ns + self._segment_ns + self.settings.late_ns:
            work = self._begin_medium(group)
            if work is not None:
                self._cut_due(work.call_id)

    def _waits(self, run: Run) -> bool:
        """Whether a SIP call that goes on announced one of the run's addresses: it will claim the run when it ends."""
        announced = self.state.announced
        return bool(announced.get(run.source) or announced.get(run.destination))

    def _owner(self, group: list[Run]) -> Work | None:
        numbers = {run.number for run in group}
        return next((w for w in self.state.works.values() if not w.sip_key and numbers & set(w.runs)), None)

    def _begin_medium(self, group: list[Run]) -> Work | None:
        """Open a recording for runs that no call claims; None when they are no media after all."""
        free = [run for run in group if media.has_free(run, self.settings.late_ns)]
        found = media.recognise(free, self._read_into)
        if not found:
            return None
        if self.settings.record is Record.ALL:
            decision = Decision(wanted=True, reason=RuleReason.NONE, rule="record all")
        else:
            decision = rules.decide_unsignalled(self.settings.enterprises)
        work = media.begin(found, decision)
        self.state.works[work.call_id] = work
        return work

    def _finish_medium(self, work: Work | None, group: list[Run]) -> None:
        """Write a medium that is over, and whatever else is free in its runs; then let go of them."""
        state = self.state
        recorded: set[int] = set()
        while work is not None:
            members = [state.runs.by_number[number] for number in work.runs if number in state.runs.by_number]
            recorded.update(work.runs)
            self._end_medium(work, self._medium_ending(work, members))
            for run in members:
                run.claimed += run.free_spans()[:1]
            work = self._begin_medium(group)
        for run in group:
            self._drop(run, counted=run.number not in recorded)

    def _medium_ending(self, work: Work, members: list[Run]) -> Ending:
        """Media that flows when the capture begins or ends is not whole."""
        state = self.state
        ended_ns = max((run.free_spans() or [(0, run.last_ns)])[0][1] for run in members)
        joined_late = state.first_ns is not None and work.first_ns - state.first_ns <= NS
        flowing = state.ended_ns is not None and state.ended_ns - ended_ns <= NS
        cause = EndCause.CAPTURE_ENDED if flowing else EndCause.MEDIA_TIMEOUT
        return Ending(cause=cause, ended_ns=ended_ns, joined_late=joined_late)

    def _end_medium(self, work: Work, ending: Ending) -> None:
        streams = media.streams(work, self.state.runs, ending.ended_ns)
        protected = media.protection(work, streams, self.state.signalling)
        if work.decision.wanted and not protected:
            self._part(work, None, streams, ending.ended_ns, ending)
        elif protected:
            media.note_protected(work, streams, self.settings.zone)
        else:
            self.state.counters.not_wanted += sum(run.rows for stream in streams for run in stream.runs)
        self._publisher.call(account(self._publisher, work, None, media.links(work), ending))
        for companion in work.companions:
            self._publisher.call(
                account(self._publisher, companion, None, media.links(companion), _companion_ending(companion, ending))
            )
        self.state.works.pop(work.call_id, None)

    def _drop(self, run: Run, *, counted: bool) -> None:
        if counted and not run.claimed:
            self.state.counters.not_rtp += run.rows
        elif counted:
            late_from = max(high for _, high in run.claimed)
            if run.last_ns > late_from:
                self.state.counters.too_late += media.count_after(run, late_from, self._read_into)
        self.state.runs.remove(run)

    # --- the end ---

    def _end_of_input(self, now_ns: int) -> None:
        """Finish everything: an input that has ended brings nothing more."""
        state = self.state
        for call in state.signalling.finish(now_ns):
            self._note(call)
        for call in list(state.signalling.dialogs.calls.values()):
            if call.key not in state.works:
                self._open(call)
                self._announce(call)
            ended = call.ended_ns if call.ended_ns is not None else now_ns
            cause = call.end_cause if call.is_over and call.end_cause else EndCause.CAPTURE_ENDED
            if call.failure is not None and not call.is_over and call.answered_ns is None:
                cause = call.failure.cause
            self._finish(call, Ending(cause=cause, ended_ns=ended, joined_late=self._joined_late(call)))
        state.ended_ns = now_ns
        while state.runs.by_number:
            group = media.group(next(iter(state.runs.by_number.values())), state.runs)
            self._finish_medium(self._owner(group) or self._begin_medium(group), group)


def _companion_ending(companion: Work, ending: Ending) -> Ending:
    """A second stream ends where its samples end."""
    last = max((entry.first_sample + entry.samples for entry in companion.parts), default=0)
    if companion.origin_ns is None:
        return ending
    return Ending(
        cause=ending.cause, ended_ns=companion.origin_ns + last * SAMPLE_NS, joined_late=ending.joined_late
    )
