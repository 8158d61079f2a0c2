"""One part of a recording: the streams that belong to it are read, placed, settled, described and written."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from appliance.assembly import sides, tracks
from appliance.assembly.describe import Reported, Share, describe, describe_silent
from appliance.assembly.gaps import Interruptions
from appliance.assembly.settings import SettingsBook
from appliance.assembly.sides import Side as Channel
from appliance.assembly.tracks import StreamState, Track
from appliance.assembly.work import SIDES, Member, Work, medium_id
from capture import packets as journal_packets
from capture.binding import BoundStream
from capture.packets import Packets, ReadInto
from capture.runs import Run, RunTable
from capture.signalling import Signalling
from capture.sipcall import Side, SipCall
from dsp.timeline import SAMPLE_NS
from storage.call_record import UnrecordedStream
from storage.part_record import StreamRecord
from storage.records import Link
from storage.vocabulary import Reason
from storage.vocabulary import Side as StoredSide

CodecsOf = Callable[[BoundStream, Packets], dict[int, str]]
KeysOf = Callable[[BoundStream], list[tuple[str, bytes]]]
InterruptionsOf = Callable[[frozenset[int]], Interruptions]
"""What explains silence of a stream that came over these interfaces."""
Spend = Callable[[Run, set[int]], None]
"""Drops the extents of a run, but for some by their number among those the recording has not used up."""


LEAST_SAMPLES = 8000
"""1 s: less speech beside a call's own streams makes no recording."""


@dataclass(slots=True, kw_only=True)
class Placed:
    """A stream of a part with what is needed to let go of its packets afterwards."""

    stream: BoundStream
    track: Track
    beyond: set[int]
    """Numbers of the extents that hold packets after the part's close."""
    consumed: int = 0

    @property
    def is_in_sequence(self) -> bool:
        """Whether two packets of speech follow each other, which makes a source valid (RFC 3550 A.1)."""
        steps = np.diff(self.track.ordered.sequence[self.track.audio])
        return bool((steps == 1).any())

    @property
    def is_lasting(self) -> bool:
        """Whether there is enough speech for a recording."""
        return self.is_in_sequence and int(self.track.samples.sum()) >= LEAST_SAMPLES

    def packets_until(self, until_ns: int, *, final: bool) -> int:
        """Count the packets that are in the part, copies included, and arrived by a time."""
        track, rows = self.track, self.track.consumed_rows(self.consumed, final=final)
        used = track.ordered.index[:rows][track.kind[:rows] != tracks.OTHER]
        copies = int(np.count_nonzero(track.ordered.original < rows))
        return copies + int(np.count_nonzero(track.packets.arrival_ns[used] <= until_ns))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPart:
    """A part ready to be written."""

    number: int
    first: int
    """First sample in the call."""
    samples: int
    channels: dict[Side, Channel]
    streams: dict[Side, list[StreamRecord]]
    digits: list[tuple[int, Side, str, int]]
    """Keys pressed in this part: position in the call, side, digit, samples."""


@dataclass(slots=True, kw_only=True)
class Renderer:
    """Renders parts. Reads the journal; writes nothing."""

    book: SettingsBook
    read_into: ReadInto
    signalling: Signalling
    runs: RunTable

    def place(
        self, work: Work, streams: list[BoundStream], codecs_of: CodecsOf, keys_of: KeysOf, close_ns: int
    ) -> list[Placed]:
        """Read and place the streams of a recording up to a capture time."""
        origin_ns = work.first_ns if work.origin_ns is None else work.origin_ns
        placed = []
        for stream in streams:
            member = work.members.get(stream.key)
            state = StreamState(key=stream.key, codecs={}) if member is None else member.state
            if member is not None:
                stream.side = member.side
            everything = journal_packets.read(stream.extents(), self.read_into)
            limit = min(stream.until_ns, close_ns)
            self._note_damage(work, everything, stream.from_ns, limit)
            from_ns = max(stream.from_ns, work.listed.get(stream.key, -1) + 1)
            wanted = (everything.arrival_ns >= from_ns) & (everything.arrival_ns <= limit)
            packets = everything if wanted.all() else everything.select(wanted)
            # Both may have been negotiated anew since the part before.
            state.codecs, state.keys = state.codecs | codecs_of(stream, packets), keys_of(stream)
            if member is None:
                state.protected = tracks.is_protected(packets, state.codecs, negotiated=bool(stream.secured))
            beyond = (
                set(np.unique(everything.extent[everything.arrival_ns > limit]).tolist()) if not wanted.all() else set()
            )
            placed.append(Placed(stream=stream, track=tracks.lay(state, packets, origin_ns), beyond=beyond))
        return placed

    def _note_damage(self, work: Work, packets: Packets, from_ns: int, until_ns: int) -> None:
        """What the journal does not give back is the recorder's loss, at its time."""
        for extent in packets.damaged:
            low, high = self.runs.times_of(extent.address) or (from_ns, until_ns)
            if low <= until_ns and high >= from_ns and (low, high) not in work.missing[-len(packets.damaged) :]:
                work.missing.append((low, high))
                work.damaged |= not packets.forgotten
                work.overrun |= packets.forgotten

    def settle(self, work: Work, placed: list[Placed]) -> tuple[dict[Side, list[Placed]], list[Placed]]:
        """Choose the streams of each side; return them, and those that need recordings of their own."""
        chosen: dict[Side, list[Placed]] = {}
        rivals: list[Placed] = []
        for side in SIDES:
            mine = [one for one in placed if one.stream.side is side]
            best = max((one.stream.ends for one in mine if one.track.has_audio), default=0)
            beside = [one for one in mine if one.track.has_audio and _is_beside(work, one, best)]
            rivals += beside
            mine = [one for one in mine if one not in beside]
            mine.sort(key=lambda one: one.stream.key not in work.members)
            kept, left = sides.settle([one.track for one in mine])
            by_track = {id(one.track): one for one in mine}
            chosen[side] = [by_track[id(track)] for track in kept]
            rivals += [by_track[id(track)] for track in left]
        for side, mine in chosen.items():
            for one in mine:
                new = Member(side=side, state=one.track.state, interfaces=one.stream.interfaces)
                work.members.setdefault(one.stream.key, new).note_interfaces(one.stream.interfaces)
        return chosen, rivals

    def sift(self, work: Work, rivals: list[Placed]) -> tuple[list[Placed], list[Placed]]:
        """Part rivals into those that need recordings of their own and strays: too short, and no direction of one."""
        long = [one for one in rivals if one.is_lasting]
        paths = [set(one.stream.key[:2]) for one in long]
        paths += [set(key[:2]) for companion in work.companions for key in companion.members]
        wanted = [one for one in rivals if one in long or set(one.stream.key[:2]) in paths]
        strays = [one for one in rivals if one not in wanted]
        work.strays = [one.stream.key for one in strays]
        return wanted, strays

    def fix_origin(self, work: Work, chosen: dict[Side, list[Placed]], answered_ns: int | None) -> None:
        """Decide the call's sample 0, once: its answer, or its first sample of early media."""
        if work.origin_ns is not None:
            return
        starts = [int(one.track.start[0]) for mine in chosen.values() for one in mine]
        if answered_ns is not None:
            starts.append((answered_ns - work.first_ns) // SAMPLE_NS)
        shift = min(starts)
        work.origin_ns = work.first_ns + shift * SAMPLE_NS
        for mine in chosen.values():
            for one in mine:
                one.track.start -= shift

    def render(
        self,
        work: Work,
        chosen: dict[Side, list[Placed]],
        last: int | None,
        end: int,
        interruptions_of: InterruptionsOf,
    ) -> RenderedPart | None:
        """Lay out the next part; None when it would be empty.

        Args:
            work: the recording; its figures are added to.
            chosen: its streams by side.
            last: the sample of the call at which the part is cut, None for the final part.
            end: the call's last sample, for the final part.
            interruptions_of: holds and outages.
        """
        first = work.next_sample
        everything = [one for mine in chosen.values() for one in mine]
        final = last is None
        if last is None:
            last = max([end, *(int(one.track.end[-1]) for one in everything)])
        samples = last - first
        if samples <= 0 or (not everything and not work.parts):
            return None
        channels: dict[Side, Channel] = {}
        streams: dict[Side, list[StreamRecord]] = {}
        digits: list[tuple[int, Side, str, int]] = []
        assert work.origin_ns is not None
        for side in SIDES:
            channel = sides.compose([one.track for one in chosen[side]], first, samples)
            channels[side], streams[side] = channel, []
            latest = max(chosen[side], key=lambda one: int(one.track.end[-1]), default=None)
            dormant = None if final or latest is not None else work.latest(side)
            if dormant is not None:
                interruptions = interruptions_of(work.interfaces(side))
                share = Share(first=first, last=last, consumed=0, interruptions=interruptions, final=False)
                streams[side].append(describe_silent(dormant, share))
            for one in chosen[side]:
                one.consumed = (
                    len(one.track.audio) if final else int(np.searchsorted(one.track.end, last, side="right"))
                )
                lasting = not final and one is latest and one.consumed == len(one.track.audio)
                share = Share(
                    first=first,
                    last=last,
                    consumed=one.consumed,
                    interruptions=interruptions_of(one.stream.interfaces),
                    final=final,
                    lasting=lasting,
                )
                if int(one.track.start[0]) < last or one.track.state.end_sample is not None:
                    named = (one.stream.key[0].ip, one.stream.key[2])
                    reported = Reported(loss=self.signalling.losses.get(named), clock=self.signalling.clocks.get(named))
                    streams[side].append(describe(one.track, share, channel, reported, work.totals[side]))
                self._note_late(work, one)
                events = one.track.events(work.origin_ns)
                # Those after a cut are heard again in the next part, those before it were.
                digits += [(at, side, digit, n) for digit, at, n in events if first <= at and (final or at < last)]
        digits.sort()
        return RenderedPart(
            number=work.next_part, first=first, samples=samples, channels=channels, streams=streams, digits=digits
        )

    def _note_late(self, work: Work, one: Placed) -> None:
        late = one.track.too_late_ns
        if len(late):
            count, first_ns, _ = work.too_late.get(one.stream.key, (0, int(late[0]), 0))
            work.too_late[one.stream.key] = (count + len(late), first_ns, int(late[-1]))

    def let_go(self, chosen: dict[Side, list[Placed]], close_ns: int, spend: Spend) -> None:
        """After a part: carry the streams on, and forget the extents that are used up."""
        for mine in chosen.values():
            for one in mine:
                track = one.track
                rows = track.consumed_rows(one.consumed, final=False)
                unused = track.ordered.index[rows:]
                if not track.state.protected:
                    # Their copies are counted with them; those of SRTP are numbered as they were before decryption.
                    unused = np.concatenate((unused, track.ordered.duplicate[track.ordered.original >= rows]))
                keep = one.beyond | set(np.unique(track.packets.extent[unused]).tolist())
                tracks.carry(track, one.consumed)
                track.state.closed_ns = close_ns
                _spend_extents(one.stream, keep, spend)

    def pass_by(self, work: Work, placed: list[Placed], close_ns: int, spend: Spend) -> None:
        """List media that are in no part up to a time, and let go of them: what is never written must hold nothing."""
        self.note_unrecorded(work, placed)
        if work.origin_ns is not None:
            self.note_keys(work, placed)
        for one in placed:
            work.listed[one.stream.key] = close_ns
            _spend_extents(one.stream, one.beyond, spend)

    def companion(self, work: Work, rival: Placed, link: Link) -> Work:
        """Find or open the recording of a second stream of a side: both directions of a path share one."""
        source, destination, _ = rival.stream.key
        for other in work.companions:
            if any(
                {source, destination} == {a, b} and m.side is not rival.stream.side
                for (a, b, _), m in other.members.items()
            ):
                break
        else:
            first_ns = int(rival.track.packets.arrival_ns[0])
            other = Work(
                call_id=medium_id(rival.stream.key, first_ns),
                first_ns=first_ns,
                shift_ns=work.shift_ns,
                decision=work.decision,
                config=work.config,
                second_leg_of=link,
                family=work.family,
            )
            work.companions.append(other)
        state = StreamState(key=rival.stream.key, codecs=rival.track.state.codecs, keys=rival.track.state.keys)
        state.protected = rival.track.state.protected
        interfaces = rival.stream.interfaces
        other.members[rival.stream.key] = Member(side=rival.stream.side, state=state, interfaces=interfaces)
        return other

    def note_unrecorded(self, work: Work, placed: list[Placed]) -> None:
        """List media that are in no part: other codecs, what no key opens, speech that the snap length cut off."""
        for one in placed:
            track = one.track
            other = track.ordered.index[np.flatnonzero(track.kind == tracks.OTHER)]
            if len(other):
                self._list_unrecorded(
                    work,
                    one,
                    track.packets.payload_type[other],
                    track.packets.arrival_ns[other],
                    reason=Reason.ENCRYPTED if track.is_unreadable else Reason.UNSUPPORTED_CODEC,
                )
            elif not len(track.ordered.index) and track.state.undecrypted:
                self._list_encrypted(work, one.stream, track.state.undecrypted)
            bare = track.ordered.index[track.bare]
            if len(bare):
                self._list_unrecorded(
                    work,
                    one,
                    track.packets.payload_type[bare],
                    track.packets.arrival_ns[bare],
                    reason=Reason.CAPTURE_LOSS,
                )

    def note_strays(self, work: Work, strays: list[Placed]) -> None:
        """List streams beside the call's that are too short to be media."""
        for one in strays:
            ordered = one.track.ordered
            used = ordered.index[one.track.kind != tracks.OTHER]
            payload_type, codec = one.track.dominant_codec()
            times = one.track.packets.arrival_ns[used]
            self._append_unrecorded(
                work,
                one.stream,
                payload_type,
                codec,
                len(used) + len(ordered.duplicate),
                int(times.min()),
                int(times.max()),
                Reason.NO_MEDIA,
            )

    def note_keys(self, work: Work, placed: list[Placed]) -> None:
        """Take the keys pressed from streams of telephone events alone: some gateways give them their own SSRC."""
        assert work.origin_ns is not None
        for one in placed:
            if not one.track.has_audio:
                events = int(np.count_nonzero(one.track.kind == tracks.TELEPHONE_EVENT))
                work.totals[one.stream.side].packets += events
                found = one.track.events(work.origin_ns)
                work.digits += [(at, one.stream.side, digit, n) for digit, at, n in found]

    def _list_unrecorded(
        self,
        work: Work,
        one: Placed,
        types: "np.typing.NDArray[np.uint8]",
        arrival_ns: tracks.IntArray,
        *,
        reason: Reason,
    ) -> None:
        for payload_type in np.unique(types).tolist():
            times = arrival_ns[types == payload_type]
            codec = one.track.state.codecs.get(payload_type, "")
            self._append_unrecorded(
                work, one.stream, payload_type, codec, len(times), int(times.min()), int(times.max()), reason
            )

    def _list_encrypted(self, work: Work, stream: BoundStream, packets: int) -> None:
        self._append_unrecorded(
            work, stream, None, "", packets, stream.runs[0].first_ns, stream.runs[-1].last_ns, Reason.ENCRYPTED
        )

    def _append_unrecorded(
        self,
        work: Work,
        stream: BoundStream,
        payload_type: int | None,
        codec: str,
        packets: int,
        first_ns: int,
        last_ns: int,
        reason: Reason,
    ) -> None:
        zone = self.book.of(work.config).zone
        found = UnrecordedStream(
            side=StoredSide(stream.side.value),
            ssrc=f"0x{stream.key[2]:08x}",
            source=str(stream.key[0]),
            destination=str(stream.key[1]),
            payload_type=payload_type,
            codec=codec,
            packets=packets,
            first_at=work.shown(first_ns, zone),
            last_at=work.shown(last_ns, zone),
            reason=reason,
        )
        for number, known in enumerate(work.unrecorded):
            together = replace(found, packets=known.packets + packets, first_at=known.first_at)
            if replace(known, packets=together.packets, last_at=together.last_at) == together:
                work.unrecorded[number] = together
                return
        work.unrecorded.append(found)


def _is_beside(work: Work, one: Placed, best: int) -> bool:
    """Whether a stream has no claim to a place in the file: it was held back before, or is no valid source (RFC 3550
    A.1) from where the call's media come from."""
    if one.stream.key in work.members:
        return False
    return one.stream.key in work.strays or (one.stream.ends < best and not one.is_in_sequence)


def _spend_extents(stream: BoundStream, keep: set[int], spend: Spend) -> None:
    """Drop the extents of a stream that are used up; `keep` numbers them over all its runs."""
    base = 0
    for run in stream.runs:
        count = len(run.extents(stream.leg))
        spend(run, {number - base for number in keep if base <= number < base + count})
        base += count


def spans_of(call: SipCall, work: Work, end_ns: int) -> list[tuple[int, int]]:
    """Return a call's holds in samples of the call."""
    if work.origin_ns is None:
        return []
    return [
        (max(0, work.sample_at(hold.start_ns)), work.sample_at(hold.end_ns if hold.end_ns is not None else end_ns))
        for hold in call.holds
    ]
