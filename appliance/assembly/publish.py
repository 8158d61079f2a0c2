"""Rendered parts and finished accounts into the archive: translates capture's words into storage's records."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from appliance.assembly import sides
from appliance.assembly.render import RenderedPart
from appliance.assembly.settings import AssemblySettings, SettingsBook
from appliance.assembly.tally import Tally
from appliance.assembly.work import SIDES, Work
from capture.discipline import Discipline
from capture.sipcall import Side, SipCall
from dsp.timeline import SAMPLE_NS
from storage.call_record import CallRecord, PartEntry
from storage.errors import ConflictError, SoundError, StorageError
from storage.json_form import to_json
from storage.late_record import LateRecord
from storage.layout import part_stem
from storage.part_record import Channel, PartRecord
from storage.partfile import WrittenPart
from storage.records import Clock, Dtmf, Hold, Links, Party, Sip, masked
from storage.timestamps import local_time
from storage.vocabulary import Direction, DtmfSource, Flag, Law, Pcm
from storage.vocabulary import Side as StoredSide
from storage.wavfile import Sound, WavInfo
from storage.writer import ArchiveWriter

IMPORT_CLOCK = Clock(synchronised=None, source="capture", offset_ms=None)
KERNEL = "kernel"
"""Source of what is known of a live capture's clock: adjtimex(2)."""
MAX_CONFLICTS = 1000
_T = TypeVar("_T")
NOBODY = Party(number="", display="", uri="")


@dataclass(slots=True, kw_only=True)
class Publisher:
    """Writes into one archive and counts what it wrote."""

    settings: AssemblySettings
    """Those of the configuration in force now."""
    writer: ArchiveWriter
    find_settings: Callable[[str], AssemblySettings | None] = field(default=lambda _digest: None)
    """Looks up those of an earlier one, by its digest."""
    book: SettingsBook = field(init=False)
    secure: Callable[[], None] = field(default=lambda: None)
    """Makes durable what is read: a power cut must not leave a recording and take what it was made of, or it would be
    made again, of less. Raises StorageError."""
    wait: Callable[[StorageError], bool] = field(default=lambda _error: False)
    """Told of a disk that does not take something; waits and returns True when it is to be tried again."""
    progress: Callable[[], None] = field(default=lambda: None)
    """Told each time that something was written: many calls may end at once."""
    parts: int = 0
    """Parts written, those that were there already included."""
    samples: int = 0
    tally: Tally = field(default_factory=Tally)
    """What became of the calls."""
    conflicts: list[str] = field(default_factory=list)
    """What was there already under the same name with other content, and was kept."""

    def __post_init__(self) -> None:
        self.book = SettingsBook(current=self.settings, find=self.find_settings)

    def settings_of(self, work: Work) -> AssemblySettings:
        """Return the settings that hold for a recording from its beginning to its end."""
        return self.book.of(work.config)

    def part(
        self,
        work: Work,
        call: SipCall | None,
        links: Links,
        rendered: RenderedPart,
        ended_ns: int | None,
        *,
        clock: Clock,
        clock_stepped: bool,
    ) -> PartEntry:
        """Write one part; of the clock of the capture, what it was like in the part's time, and whether it was set.

        Raises:
            StorageError: the disk failed; nothing of the part is left.
        """
        settings = self.settings_of(work)
        assert work.origin_ns is not None
        start_ns = work.origin_ns + rendered.first * SAMPLE_NS + work.shift_ns
        started = local_time(start_ns, settings.zone)
        stem = self._stem(work, call, start_ns, rendered.number)
        law = self._exact_law(work, rendered)
        left, right = (rendered.channels[side] for side in SIDES)
        info = WavInfo(
            title=" -> ".join(stem.split("_")[2:4]),
            date=started.strftime("%Y-%m-%d"),
            comment=f"{work.call_id[:10]} part {rendered.number}",
            software=settings.software,
        )

        def metadata(wav_sha256: str) -> bytes:
            record = self._part_record(work, call, links, rendered, ended_ns, law, clock, wav_sha256)
            return to_json(replace(record, flags=(*record.flags, Flag.CLOCK_STEP)) if clock_stepped else record)

        def write() -> WrittenPart:
            blocks = sides.linear(left, right) if law is None else sides.companded(left, right)
            sound = Sound(blocks=blocks, frames=rendered.samples, law=law, info=info)
            form = settings.form
            return self.writer.write_part(
                call_id=work.call_id,
                number=rendered.number,
                stem=stem,
                started=started,
                form=form,
                sound=sound,
                metadata=metadata,
            )

        written = self._insist(write)
        self.parts += 1
        self.samples += rendered.samples
        return PartEntry(
            name=written.name,
            number=rendered.number,
            wav_sha256=written.wav_sha256,
            call_json_sha256=written.call_json_sha256,
            first_sample=rendered.first,
            samples=rendered.samples,
        )

    def call(self, record: CallRecord) -> None:
        """Write a call record; one that is there with other content is kept and counted."""
        self.tally.add(record)
        with contextlib.suppress(ConflictError):
            self._insist(lambda: self.writer.write_call(record))

    def late(self, record: LateRecord) -> None:
        """Write which packets came after the end of a call."""
        with contextlib.suppress(ConflictError):
            self._insist(lambda: self.writer.write_late(record))

    def _insist(self, write: Callable[[], _T]) -> _T:
        """Write, again and again as long as there is hope."""
        while True:
            try:
                self.secure()
                done = write()
            except ConflictError as error:
                self.conflicts.append(str(error))
                del self.conflicts[:-MAX_CONFLICTS]
                raise
            except SoundError:
                raise  # another try would fail alike
            except StorageError as error:
                if not self.wait(error):
                    raise
            else:
                self.progress()
                return done

    def _stem(self, work: Work, call: SipCall | None, start_ns: int, number: int) -> str:
        caller, callee = numbers(call)
        return part_stem(
            start_ns=start_ns,
            zone=self.settings_of(work).zone,
            direction=Direction(work.decision.direction),
            caller=caller,
            callee=callee,
            call_id=work.call_id,
            part=number,
        )

    def _exact_law(self, work: Work, rendered: RenderedPart) -> Law | None:
        """Return the law when codes are to be kept as received and both sides use one and the same; else None."""
        laws = _laws(rendered)
        return laws[0] if self.settings_of(work).pcm is Pcm.G711 and len(laws) == 1 else None

    def _part_record(
        self,
        work: Work,
        call: SipCall | None,
        links: Links,
        rendered: RenderedPart,
        ended_ns: int | None,
        law: Law | None,
        clock: Clock,
        wav_sha256: str,
    ) -> PartRecord:
        settings = self.settings_of(work)
        zone = settings.zone
        first, last = rendered.first, rendered.first + rendered.samples
        assert work.origin_ns is not None
        spoken = {side: any(stream.packets for stream in rendered.streams[side]) for side in SIDES}
        flags = [Flag.ONE_WAY] if spoken[Side.CALLER] != spoken[Side.CALLEE] else []
        if self.book.lacks(work.config):
            flags.append(Flag.CONFIGURATION_MISSING)
        return PartRecord(
            software=settings.software,
            config_digest=settings.config_digest,
            source=settings.source,
            call_id=work.call_id,
            part=rendered.number,
            parts_so_far=rendered.number,
            clock=clock,
            started_at=work.shown(work.first_ns, zone),
            answered_at=work.shown_if(call.answered_ns if call else None, zone),
            ended_at=work.shown_if(ended_ns, zone),
            origin_at=work.shown(work.origin_ns, zone),
            first_sample=first,
            samples=rendered.samples,
            form=settings.form,
            pcm=Pcm.PCM16 if law is None else Pcm.G711,
            laws=_laws(rendered),
            direction=Direction(work.decision.direction),
            enterprise=work.decision.enterprise or None,
            line=work.decision.line or None,
            caller=party(call, Side.CALLER),
            callee=party(call, Side.CALLEE),
            dialled=call.dialled if call else "",
            asserted=tuple(call.asserted) if call else (),
            diversion=tuple(call.diversion) if call else (),
            privacy=call.privacy if call else False,
            sip=sip_of(work, call),
            links=links,
            holds=holds_within(work, call, first, last),
            dtmf=self.keys(work, call, rendered.digits, first, last),
            flags=tuple(flags),
            channels=(
                self._channel(rendered, Side.CALLER, spoken[Side.CALLEE]),
                self._channel(rendered, Side.CALLEE, spoken[Side.CALLER]),
            ),
            wav_sha256=wav_sha256,
        )

    def _channel(self, rendered: RenderedPart, side: Side, other_spoke: bool) -> Channel:
        streams = tuple(rendered.streams[side])
        return Channel(
            side=StoredSide(side.value),
            one_way=other_spoke and not any(stream.packets for stream in streams),
            streams=streams,
        )

    def keys(
        self, work: Work, call: SipCall | None, digits: list[tuple[int, Side, str, int]], first: int, last: int
    ) -> tuple[Dtmf, ...]:
        """Return the keys pressed within samples `first` to `last` of the call, positions relative to `first`."""
        events = [
            Dtmf(
                side=StoredSide(side.value),
                digit=digit,
                first_sample=at - first,
                samples=samples,
                source=DtmfSource.RTP,
            )
            for at, side, digit, samples in digits
            if first <= at < last and len(digit) == 1
        ]
        for ts_ns, side, digit in call.dtmf_info if call and work.origin_ns is not None else ():
            at = work.sample_at(ts_ns)
            if first <= at < last and len(digit) == 1:
                events.append(
                    Dtmf(
                        side=StoredSide(side.value),
                        digit=digit,
                        first_sample=at - first,
                        samples=0,
                        source=DtmfSource.INFO,
                    )
                )
        events.sort(key=lambda event: event.first_sample)
        return masked(events) if self.settings_of(work).mask_dtmf else tuple(events)


def clock_of(found: Discipline | None) -> Clock:
    """Return what a record says of the capture's clock."""
    if found is None:
        return IMPORT_CLOCK
    return Clock(synchronised=found.synchronised, source=KERNEL, offset_ms=found.offset_ms)


def _laws(rendered: RenderedPart) -> tuple[Law, ...]:
    uses = sorted(
        (begin, number, law.value)
        for number, side in enumerate(SIDES)
        for begin, _, law in rendered.channels[side].laws
    )
    return tuple(dict.fromkeys(Law(law) for _, _, law in uses))


def numbers(call: SipCall | None) -> tuple[str, str]:
    """Return the caller's and the callee's number for names; what the network asserts goes before what From says."""
    if call is None:
        return "", ""
    caller = "" if call.privacy else call.caller.number
    return caller or next(iter(call.asserted), ""), call.callee.number or call.dialled


def party(call: SipCall | None, side: Side) -> Party:
    """Return one party as the signalling names it."""
    if call is None:
        return NOBODY
    named = call.caller if side is Side.CALLER else call.callee
    return Party(number=named.number, display=named.display, uri=named.uri)


def sip_of(work: Work, call: SipCall | None) -> Sip | None:
    """Return where the call stands in the signalling; null for a medium."""
    if call is None or not work.sip_key:
        return None
    return Sip(
        call_ids=(call.call_id,),
        from_tag=call.from_tag,
        to_tag=call.winning_tag,
        final_status=call.final_status if call.final_status and 100 <= call.final_status <= 699 else None,
        user_agents=tuple(call.user_agents),
    )


def holds_within(work: Work, call: SipCall | None, first: int, last: int) -> tuple[Hold, ...]:
    """Return the holds within samples `first` to `last` of the call, positions relative to `first`."""
    if call is None or work.origin_ns is None:
        return ()
    found = []
    for hold in call.holds:
        begin = max(work.sample_at(hold.start_ns), first)
        end = last if hold.end_ns is None else min(work.sample_at(hold.end_ns), last)
        if begin < end:
            found.append(Hold(begin - first, end - begin, StoredSide(hold.by.value)))
    return tuple(found)
