"""Parts and records of one work after the other: places its streams, cuts, writes, opens works for second streams."""

from collections.abc import Callable, Sequence
from functools import partial

from appliance.assembly import media, sharing
from appliance.assembly.account import Ending, account
from appliance.assembly.gaps import Interruptions
from appliance.assembly.isolation import ID_DIGITS, Isolation, cause_of
from appliance.assembly.publish import Publisher, clock_of
from appliance.assembly.render import CodecsOf, InterruptionsOf, KeysOf, Placed, Renderer, Spend, spans_of
from appliance.assembly.settings import NS
from appliance.assembly.state import AssemblyState
from appliance.assembly.work import Work
from capture import binding
from capture.binding import BoundStream
from capture.packets import IntArray, ReadInto
from capture.runs import PAUSE_NS, Claim, Run
from capture.sipcall import Side, SipCall
from dsp.timeline import SAMPLE_NS
from storage.call_record import CallRecord
from storage.errors import ConflictError, SoundError, StorageError
from storage.late_record import LateRecord
from storage.records import Links
from storage.timestamps import rfc3339
from storage.vocabulary import SAMPLE_RATE_HZ, Reason

Chosen = dict[Side, list[Placed]]
"""The streams in a part's file, by side."""


class Recorder:
    """Writes what works come to. A work is a SIP call's or a medium's; `call` is None for a medium."""

    def __init__(
        self,
        state: AssemblyState,
        publisher: Publisher,
        read_into: ReadInto,
        isolation: Isolation,
    ) -> None:
        self._book = publisher.book
        self._state = state
        self._publisher = publisher
        self._read_into = read_into
        self._isolation = isolation
        self._renderer = Renderer(
            book=publisher.book, read_into=read_into, signalling=state.signalling, runs=state.runs
        )

    def close(self, work: Work, call: SipCall | None, links: Links, ending: Ending) -> None:
        """Write the call records of a work that is over and of its second streams."""
        self._account(work, call, links, ending)
        for companion in work.companions:
            self._account(companion, call, media.links(companion), _companion_ending(companion, ending))

    def _account(self, work: Work, call: SipCall | None, links: Links, ending: Ending) -> None:
        outages_of = partial(self._outages, work, ending.ended_ns)
        span = (work.first_ns, ending.ended_ns)
        clock = clock_of(self._state.discipline_within(*span))
        stepped = self._state.clock_stepped(*span)
        damaged, forgotten = self._state.outages.why(*span)
        work.damaged, work.overrun = work.damaged or damaged, work.overrun or forgotten

        def make(made_of: Work) -> CallRecord:
            return account(
                self._publisher, made_of, call, links, ending, outages_of, clock=clock, clock_stepped=stepped
            )

        try:
            record = make(work)
        except Exception as error:  # a record there must be, if only of what is certain
            self.set_aside(work, (), error)
            record = make(work.bare())
        self._publisher.call(record)

    def set_aside(self, work: Work, streams: Sequence[BoundStream], error: Exception | None) -> None:
        """Try nothing more of a work, and keep what its streams are made of."""
        work.set_aside()
        self._isolation.set_aside(work.call_id, error)
        self.keep(work, streams)

    def keep(self, work: Work, streams: Sequence[BoundStream]) -> None:
        """Keep what a work that is set aside is made of, before it is let go of."""
        try:
            self._isolation.keep(work.call_id, streams, self._read_into)
        except Exception as error:  # whatever was wrong with it may be wrong here too
            self._isolation.tell(f"call {work.call_id[:ID_DIGITS]} is not kept: {cause_of(error)}")

    def _isolated(self, work: Work, streams: Sequence[BoundStream], make: Callable[[], None]) -> None:
        """Make something of a work; what goes wrong with it is its own trouble."""
        if work.aside:
            return
        if self._isolation.is_held(work.call_id):
            self.set_aside(work, streams, None)
            return
        try:
            with self._isolation.in_hand(work.call_id):
                make()
        except Exception as error:
            if isinstance(error, StorageError) and not isinstance(error, SoundError):
                raise  # the disk's
            self.set_aside(work, streams, error)

    def part(
        self, work: Work, call: SipCall | None, streams: list[BoundStream], close_ns: int, ending: Ending | None
    ) -> None:
        """Render and write the next part, and those of second streams."""
        self._isolated(work, streams, lambda: self._part(work, call, streams, close_ns, ending))

    def _part(
        self, work: Work, call: SipCall | None, streams: list[BoundStream], close_ns: int, ending: Ending | None
    ) -> None:
        renderer = self._renderer
        parted = {key: companion for companion in work.companions for key in companion.members}
        mine = [stream for stream in streams if stream.key not in parted]
        audio = [stream for stream in mine if stream.media == "audio"]
        placed = renderer.place(work, audio, self._codecs(call), self._keys(call), close_ns)
        chosen, beside = renderer.settle(work, placed)
        rivals, strays = renderer.sift(work, beside)
        if ending is not None:
            renderer.note_unrecorded(work, placed)
            renderer.note_strays(work, strays)
            self._list_other_media(work, call, mine)
            if call is not None:
                self._count_shared_unrecorded(work, mine)
        answered_ns = call.answered_ns if call is not None and work.sip_key else None
        if answered_ns is not None or any(chosen.values()):
            renderer.fix_origin(work, chosen, answered_ns)
            self._write(work, call, chosen, close_ns, ending)
            if ending is not None:
                renderer.note_keys(work, placed)
        if ending is None:
            # Strays may be the beginning of something as long as they are fresh.
            over = [one for one in strays if one.stream.runs[-1].last_ns < close_ns - PAUSE_NS]
            renderer.note_strays(work, over)
            ended = {id(one) for one in over}
            fresh = [one for one in strays if id(one) not in ended]
            used = {id(one) for one in (*rivals, *fresh, *(one for mine in chosen.values() for one in mine))}
            # Comfort noise of a stream that spoke before explains its silence when it speaks again.
            unused = [one for one in placed if id(one) not in used and one.stream.key not in work.members]
            renderer.pass_by(work, unused, close_ns, self._spend(call))
            self._pass_other_media(work, call, mine, close_ns)
        for rival in rivals:
            companion = renderer.companion(work, rival, media.link_to(work, call))
            parted[rival.stream.key] = companion
        for companion in work.companions:
            theirs = [stream for stream in streams if parted.get(stream.key) is companion]
            make = partial(self._companion_part, companion, call, theirs, close_ns, ending)
            self._isolated(companion, theirs, make)

    def cut(self, work: Work, call: SipCall | None, streams: list[BoundStream], close_ns: int) -> int:
        """Write the part that is complete by `close_ns`, and return the time at which the next one will be."""
        settings, first = self._book.of(work.config), work.next_sample
        self.part(work, call, streams, close_ns, None)
        cut_ns = work.cut_ns(settings.segment_s * SAMPLE_RATE_HZ)
        if cut_ns is None or work.next_sample == first:
            return close_ns + settings.segment_s * NS  # nothing was there to write
        return max(cut_ns + settings.late_ns, close_ns + 1)

    def _companion_part(
        self, companion: Work, call: SipCall | None, streams: list[BoundStream], close_ns: int, ending: Ending | None
    ) -> None:
        placed = self._renderer.place(companion, streams, self._codecs(call), self._keys(call), close_ns)
        chosen, rivals = self._renderer.settle(companion, placed)
        if ending is None:
            used = {id(one) for mine in chosen.values() for one in mine}
            unused = [one for one in placed if id(one) not in used and one.stream.key not in companion.members]
            self._renderer.note_strays(companion, [one for one in unused if one.track.has_audio])
            self._renderer.pass_by(companion, unused, close_ns, self._spend(call))
        else:
            self._renderer.note_unrecorded(companion, rivals)
            self._renderer.note_strays(companion, rivals)
        if any(chosen.values()):
            self._renderer.fix_origin(companion, chosen, None)
        if companion.origin_ns is not None:
            self._write(companion, call, chosen, close_ns, ending)

    def _write(self, work: Work, call: SipCall | None, chosen: Chosen, close_ns: int, ending: Ending | None) -> None:
        segment = self._book.of(work.config).segment_s * SAMPLE_RATE_HZ
        holder = call if work.sip_key else None
        end_ns = close_ns if ending is None else ending.ended_ns
        held = spans_of(holder, work, end_ns) if holder is not None else []
        interruptions_of = partial(self._interruptions, work, held, end_ns)
        ends = [int(one.track.end[-1]) for mine in chosen.values() for one in mine]
        end = max([work.sample_at(end_ns) if work.sip_key else 0, *ends])
        while ending is None or end > work.next_sample + segment:
            last = work.next_sample + segment
            self._emit(work, call, chosen, last, end, interruptions_of, None)
            work.next_sample = last
            self._renderer.let_go(chosen, close_ns, self._spend(call))
            if ending is None:
                return
            chosen = self._again(work, call, chosen, close_ns)
        self._emit(work, call, chosen, None, end, interruptions_of, ending.ended_ns)

    def _again(self, work: Work, call: SipCall | None, chosen: Chosen, close_ns: int) -> Chosen:
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
        chosen: Chosen,
        last: int | None,
        end: int,
        interruptions_of: InterruptionsOf,
        ended_ns: int | None,
    ) -> None:
        before = {side: totals.copy() for side, totals in work.totals.items()}
        try:
            self._render(work, call, chosen, last, end, interruptions_of, ended_ns)
        except Exception:
            work.totals = before  # figures of what is written, and of nothing else
            raise

    def _render(
        self,
        work: Work,
        call: SipCall | None,
        chosen: Chosen,
        last: int | None,
        end: int,
        interruptions_of: InterruptionsOf,
        ended_ns: int | None,
    ) -> None:
        rendered = self._renderer.render(work, chosen, last, end, interruptions_of)
        if rendered is None:
            return
        if call is not None:
            self._count_shared(call, chosen, final=last is None)
        work.digits += rendered.digits
        work.codecs += [stream.codec for side in rendered.streams.values() for stream in side]
        holder = call if work.sip_key else None
        links = self._state.legs.links(holder, work) if holder is not None else media.links(work)
        assert work.origin_ns is not None
        begin_ns = work.origin_ns + rendered.first * SAMPLE_NS
        span = (begin_ns, begin_ns + rendered.samples * SAMPLE_NS)
        clock = clock_of(self._state.discipline_within(*span))
        stepped = self._state.clock_stepped(*span)
        try:
            part = self._publisher.part(work, call, links, rendered, ended_ns, clock=clock, clock_stepped=stepped)
            work.parts.append(part)
            work.next_part += 1
        except ConflictError:
            work.failed = work.failed or Reason.DECODE_FAILED

    def late(self, run: Run, claim: Claim, times: IntArray) -> None:
        """Write that packets came after the end of the call whose claim lies before them."""
        settings = self._book.of(self._state.configuration_at(run.first_ns))
        zone, shift_ns = settings.zone, self._state.shift_at(claim.low_ns)
        self._publisher.late(
            LateRecord(
                software=settings.software,
                call_id=claim.by,
                ssrc=f"0x{run.ssrc:08x}",
                source=str(run.source),
                destination=str(run.destination),
                packets=len(times),
                first_at=rfc3339(int(times.min()) + shift_ns, zone),
                last_at=rfc3339(int(times.max()) + shift_ns, zone),
            )
        )

    def _spend(self, call: SipCall | None) -> Spend:
        if call is None:
            return lambda run, kept: run.spend(kept, "", set())
        leg = self._state.works[call.key]
        return lambda run, kept: sharing.spend(self._state, leg, run, kept)

    def _count_shared(self, call: SipCall, chosen: Chosen, *, final: bool) -> None:
        """Count the packets of a part that an earlier leg has in its recording, too."""
        leg = self._state.works[call.key]
        for one in (one for mine in chosen.values() for one in mine):
            until_ns = sharing.also_in(self._state, leg, one.stream)
            if until_ns >= 0:
                self._state.counters.shared += one.packets_until(until_ns, final=final)

    def _count_shared_unrecorded(self, work: Work, streams: list[BoundStream]) -> None:
        shared = [stream.key for stream in streams if sharing.also_in(self._state, work, stream) >= 0]
        names = {(f"0x{ssrc:08x}", str(source), str(destination)) for source, destination, ssrc in shared}
        listed = [each for each in work.unrecorded if (each.ssrc, each.source, each.destination) in names]
        self._state.counters.shared += sum(each.packets for each in listed)

    def _interruptions(
        self, work: Work, held: list[tuple[int, int]], end_ns: int, interfaces: frozenset[int]
    ) -> Interruptions:
        return Interruptions(held=held, outages=self._outages(work, end_ns, interfaces))

    def _outages(self, work: Work, end_ns: int, interfaces: frozenset[int]) -> list[tuple[int, int]]:
        """Return the outages since a recording's first sample, samples of the call, of what came over interfaces."""
        origin_ns = work.first_ns if work.origin_ns is None else work.origin_ns
        spans = self._state.outages.within(origin_ns, end_ns, work.missing, interfaces)
        return [((low - origin_ns) // SAMPLE_NS, (high - origin_ns) // SAMPLE_NS) for low, high in spans]

    def _codecs(self, call: SipCall | None) -> CodecsOf:
        if call is None:
            return lambda _, packets: media.codecs(packets)
        # Senders use comfort noise, and even another law, that no description named: static types mean what they mean.
        return lambda stream, packets: media.codecs(packets) | binding.payload_types(call, stream.key)

    def _keys(self, call: SipCall | None) -> KeysOf:
        if call is None:
            return lambda _: []
        return lambda stream: binding.crypto(call, stream.key)

    def _list_other_media(self, work: Work, call: SipCall | None, streams: list[BoundStream]) -> None:
        others = [stream for stream in streams if stream.media != "audio"]
        if others:
            placed = self._renderer.place(work, others, self._codecs(call), self._keys(call), others[0].until_ns)
            self._renderer.note_unrecorded(work, placed)

    def _pass_other_media(self, work: Work, call: SipCall | None, streams: list[BoundStream], close_ns: int) -> None:
        others = [stream for stream in streams if stream.media != "audio"]
        placed = self._renderer.place(work, others, self._codecs(call), self._keys(call), close_ns)
        self._renderer.pass_by(work, placed, close_ns, self._spend(call))


def _companion_ending(companion: Work, ending: Ending) -> Ending:
    """A second stream ends where its samples end."""
    last = max((entry.first_sample + entry.samples for entry in companion.parts), default=0)
    if companion.origin_ns is None:
        return ending
    return Ending(cause=ending.cause, ended_ns=companion.origin_ns + last * SAMPLE_NS, joined_late=ending.joined_late)
