"""What the carrier has delivered, into the archive: parts and a call record with `source = delivered`.

The samples are those that were delivered. What the recorder has not seen itself (signalling, streams, losses) is left
empty: nothing is claimed of it. Where only one channel was delivered, both have it, and a flag says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import soundfile

from appliance.custody.archiverequests import DeliveredFile, TakeIn
from capture import rules
from capture.rules import Decision, Enterprise
from storage.call_record import CallRecord, PartEntry, SideSummary
from storage.errors import ArchiveError
from storage.json_form import to_json
from storage.layout import ID_DIGITS, part_stem
from storage.part_record import Channel, PartRecord
from storage.records import Clock, Links, Party
from storage.timestamps import NS_PER_S, local_time, rfc3339
from storage.vocabulary import (
    SAMPLE_RATE_HZ,
    Direction,
    EndCause,
    Flag,
    Form,
    Outcome,
    Pcm,
    Reason,
    Side,
    Source,
)
from storage.wavfile import Sound, WavInfo
from storage.writer import ArchiveWriter

STAGE = Path("upload") / "stage"
_BLOCK_FRAMES = 1 << 16
_SIDES = (Side.CALLER, Side.CALLEE)
_CLOCK = Clock(synchronised=None, source="carrier", offset_ms=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredSettings:
    """What records of delivered calls say beyond the delivery."""

    software: str
    config_digest: str | None
    zone: ZoneInfo
    enterprises: tuple[Enterprise, ...]
    """Whose lines the numbers are."""
    form: Form
    """How parts are stored."""


class TakerIn:
    """Writes one delivered call after the other. For the archive's owner."""

    def __init__(self, root: Path, writer: ArchiveWriter, settings: DeliveredSettings) -> None:
        self._stage = root / STAGE
        self._writer = writer
        self._settings = settings

    def take_in(self, request: TakeIn) -> None:
        """Write parts and record; what is there already and is the same changes nothing.

        Raises ConflictError, DiskFullError, ArchiveError, SoundError.
        """
        decision = rules.decide(
            self._settings.enterprises, caller=request.caller, callee=request.callee, dialled=request.callee
        )
        flags: set[Flag] = set()
        entries: list[PartEntry] = []
        first = 0
        for count, file in enumerate(request.files, 1):
            is_last = count == len(request.files) and not request.missing
            entry, is_mono = self._write_part(request, decision, file, first, is_last=is_last)
            flags |= {Flag.MONO} if is_mono else set()
            entries.append(entry)
            first += entry.samples
        self._writer.write_call(self._record(request, decision, entries, tuple(sorted(flags))))

    def _write_part(
        self, request: TakeIn, decision: Decision, file: DeliveredFile, first: int, *, is_last: bool
    ) -> tuple[PartEntry, bool]:
        zone = self._settings.zone
        started_ns = request.started_ns + first * NS_PER_S // SAMPLE_RATE_HZ
        with _opened(self._stage / f"{file.wav_sha256}.wav") as wav:
            frames, is_mono = wav.frames, wav.channels == 1
            stem = part_stem(
                start_ns=started_ns,
                zone=zone,
                direction=Direction(decision.direction),
                caller=request.caller,
                callee=request.callee,
                call_id=request.call_id,
                part=file.part,
            )
            started = local_time(started_ns, zone)
            info = WavInfo(
                title=f"{request.caller} {request.callee}",
                date=started.strftime("%Y-%m-%d"),
                comment=f"{request.call_id[:ID_DIGITS]} p{file.part:02d}",
                software=self._settings.software,
            )

            def metadata(wav_sha256: str) -> bytes:
                flags = (Flag.MONO,) if is_mono else ()
                end_ns = started_ns + frames * NS_PER_S // SAMPLE_RATE_HZ
                return to_json(
                    PartRecord(
                        software=self._settings.software,
                        config_digest=self._settings.config_digest,
                        source=Source.DELIVERED,
                        call_id=request.call_id,
                        part=file.part,
                        parts_so_far=file.part,
                        clock=_CLOCK,
                        started_at=rfc3339(request.started_ns, zone),
                        answered_at=None,
                        ended_at=rfc3339(end_ns, zone) if is_last else None,
                        origin_at=rfc3339(request.started_ns, zone),
                        first_sample=first,
                        samples=frames,
                        form=self._settings.form,
                        pcm=Pcm.PCM16,
                        laws=(),
                        direction=Direction(decision.direction),
                        enterprise=decision.enterprise or None,
                        line=decision.line or None,
                        caller=_party(request.caller),
                        callee=_party(request.callee),
                        dialled=request.callee,
                        asserted=(),
                        diversion=(),
                        privacy=False,
                        sip=None,
                        links=Links(),
                        holds=(),
                        dtmf=(),
                        flags=flags,
                        channels=(
                            Channel(side=Side.CALLER, one_way=False, streams=()),
                            Channel(side=Side.CALLEE, one_way=False, streams=()),
                        ),
                        wav_sha256=wav_sha256,
                    )
                )

            written = self._writer.write_part(
                call_id=request.call_id,
                number=file.part,
                stem=stem,
                started=started,
                form=self._settings.form,
                sound=Sound(blocks=_blocks(wav), frames=frames, law=None, info=info),
                metadata=metadata,
            )
        entry = PartEntry(
            name=written.name,
            number=file.part,
            wav_sha256=written.wav_sha256,
            call_json_sha256=written.call_json_sha256,
            first_sample=first,
            samples=frames,
        )
        return entry, is_mono

    def _record(
        self, request: TakeIn, decision: Decision, entries: Sequence[PartEntry], flags: tuple[Flag, ...]
    ) -> CallRecord:
        zone = self._settings.zone
        samples = sum(entry.samples for entry in entries)
        started_at = rfc3339(request.started_ns, zone)
        return CallRecord(
            software=self._settings.software,
            config_digest=self._settings.config_digest,
            source=Source.DELIVERED,
            call_id=request.call_id,
            outcome=Outcome.PARTLY if request.missing else Outcome.RECORDED,
            reasons=(Reason.CAPTURE_LOSS,) if request.missing else (),
            rule="delivered by the carrier",
            end_cause=EndCause.UNKNOWN,
            clock=_CLOCK,
            started_at=started_at,
            answered_at=None,
            ended_at=rfc3339(request.started_ns + samples * NS_PER_S // SAMPLE_RATE_HZ, zone),
            origin_at=started_at,
            duration_s=samples / SAMPLE_RATE_HZ,
            expected_samples=0,
            network_lost_samples=0,
            capture_lost_samples=0,
            completeness=None,
            capture_completeness=None,
            direction=Direction(decision.direction),
            enterprise=decision.enterprise or None,
            line=decision.line or None,
            caller=_party(request.caller),
            callee=_party(request.callee),
            dialled=request.callee,
            asserted=(),
            diversion=(),
            privacy=False,
            sip=None,
            links=Links(),
            holds=(),
            dtmf=(),
            codecs=(),
            sides=(_side(Side.CALLER), _side(Side.CALLEE)),
            parts=tuple(entries),
            unrecorded=(),
            too_late=(),
            flags=flags,
        )


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(path)
    except (OSError, soundfile.SoundFileError) as error:
        raise ArchiveError("what was delivered is not there any more") from error


def _blocks(wav: soundfile.SoundFile) -> Iterator[npt.NDArray[np.int16]]:
    while len(block := wav.read(_BLOCK_FRAMES, dtype="int16", always_2d=True)):
        yield np.repeat(block, 2, axis=1) if block.shape[1] == 1 else block


def _party(number: str) -> Party:
    return Party(number=number, display="", uri="")


def _side(side: Side) -> SideSummary:
    return SideSummary(
        side=side,
        expected_samples=0,
        network_lost_samples=0,
        capture_lost_samples=0,
        packets=0,
        lost=0,
        capture_lost=0,
        duplicates=0,
        reordered=0,
        too_late=0,
        jitter_max_ms=0.0,
        longest_gap_ms=0.0,
        mos=None,
        mos_unconcealed=None,
        silence_share=0.0,
        clipping_share=0.0,
        one_way=False,
    )
