"""Media that no signalling announces, as recordings of their own: when a run is one, and when it is complete."""

from appliance.assembly import media
from appliance.assembly.account import Ending
from appliance.assembly.recorder import Recorder
from appliance.assembly.settings import NS, AssemblySettings, Record, SettingsBook
from appliance.assembly.state import AssemblyState, Due
from appliance.assembly.work import Work
from capture import rules
from capture.binding import BoundStream
from capture.packets import IntArray, ReadInto
from capture.rules import Decision, RuleReason
from capture.runs import PAUSE_NS, Claim, Run
from capture.sipcall import EndCause
from storage.errors import StorageError
from storage.vocabulary import Reason


class OwnMedia:
    """The media of an assembly that are no SIP call's."""

    def __init__(self, book: SettingsBook, state: AssemblyState, recorder: Recorder, read_into: ReadInto) -> None:
        self._book = book
        self._state = state
        self._recorder = recorder
        self._read_into = read_into

    def watch_new_runs(self) -> None:
        """Set the deadlines of runs that have begun."""
        runs = self._state.runs
        for run in runs.begun:
            self._state.schedule(run.first_ns + PAUSE_NS + 1, Due.RUN, str(run.number))
            settings = self._settings_at(run.first_ns)
            self._state.schedule(run.first_ns + settings.segment_s * NS + settings.late_ns, Due.RUN, str(run.number))
        runs.begun.clear()

    def run_due(self, number: int) -> None:
        """A run may be complete, or long enough for its first part."""
        state = self._state
        run = state.runs.by_number.get(number)
        if run is None or self._waits(run):
            return
        group = media.group(run, state.runs, state.now_ns)
        idle_ns = max(member.last_ns for member in group) + PAUSE_NS
        if idle_ns < state.now_ns:
            self._finish_medium(group)
            return
        self._state.schedule(idle_ns + 1, Due.RUN, str(number))
        begun_ns = min(member.first_ns for member in group)
        settings = self._settings_at(begun_ns)
        if self._owner(group) is None and state.now_ns >= begun_ns + settings.segment_s * NS + settings.late_ns:
            work = self._begin_medium(group)
            if work is not None:
                self.cut_due(work.call_id)
            else:
                # What came after a call is few packets, still to be listed.
                self._let_go([member for member in group if not member.claimed], state.now_ns - settings.late_ns)
                self._state.schedule(state.now_ns + settings.segment_s * NS, Due.RUN, str(number))

    def cut_due(self, call_id: str) -> None:
        """A long medium's part is complete."""
        work = self._state.works.get(call_id)
        if work is None or work.sip_key:
            return
        close_ns = self._state.now_ns
        run = self._state.runs.by_number[work.runs[0]]
        self._join(work, media.group(run, self._state.runs, close_ns))
        streams = media.streams(work, self._state.runs, close_ns)
        settings = self._book.of(work.config)
        following = close_ns + settings.segment_s * NS
        if work.is_written and not media.protection(work, streams, self._state.signalling):
            following = self._recorder.cut(work, None, streams, close_ns)
        else:
            if work.aside:
                self._recorder.keep(work, streams)
            members = [
                self._state.runs.by_number[number] for number in work.runs if number in self._state.runs.by_number
            ]
            self._let_go(members, close_ns - settings.late_ns)
        self._state.schedule(following, Due.CUT, call_id)

    def _let_go(self, runs: list[Run], until_ns: int) -> None:
        """Forget media that is in no recording."""
        for run in runs:
            self._state.runs.let_go(run, until_ns)

    def end(self, now_ns: int) -> None:
        """Finish all media: the input has ended."""
        self._state.ended_ns = now_ns
        while self._state.runs.by_number:
            run = next(iter(self._state.runs.by_number.values()))
            self._finish_medium(media.group(run, self._state.runs, now_ns))

    def give_up(self, key: str, error: Exception) -> None:
        """Something went wrong with a run (by number) or a medium (by id): its record, and nothing of it is left."""
        runs, work = self._state.runs, self._state.works.get(key)
        numbers = work.runs if work is not None else [int(key)] if key.isdecimal() else []
        first = next((runs.by_number[number] for number in numbers if number in runs.by_number), None)
        if first is not None:
            self._give_up_group(media.group(first, runs, self._state.now_ns), error)

    def _give_up_group(self, group: list[Run], error: Exception) -> None:
        work = self._owner(group) or self._begun(group)
        members = [self._state.runs.by_number[n] for n in work.runs if n in self._state.runs.by_number]
        self._recorder.set_aside(work, (), error)
        ended_ns = max(run.last_ns for run in (*group, *members))
        ending = Ending(cause=EndCause.MEDIA_TIMEOUT, ended_ns=ended_ns)
        self._recorder.close(work, None, media.links(work), ending)
        self._state.works.pop(work.call_id, None)
        for run in {run.number: run for run in (*group, *members)}.values():
            self._state.runs.remove(run)

    def _waits(self, run: Run) -> bool:
        """Whether a SIP call that goes on announced one of the run's addresses: it will claim the run when it ends."""
        announced = self._state.announced
        return bool(announced.get(run.source) or announced.get(run.destination))

    def _owner(self, group: list[Run]) -> Work | None:
        numbers = {run.number for run in group}
        return next((w for w in self._state.works.values() if not w.sip_key and numbers & set(w.runs)), None)

    def _join(self, work: Work, group: list[Run]) -> None:
        """Add to a recording what began after it: the other direction, another SSRC, speech after a pause."""
        fresh = [run for run in group if run.number not in work.runs]
        work.runs += [run.number for run in media.recognise(self._free(fresh), self._read_into)]

    def _free(self, runs: list[Run]) -> list[Run]:
        return [run for run in runs if media.has_free(run, self._settings_at(run.first_ns).late_ns)]

    def _settings_at(self, ns: int) -> AssemblySettings:
        """Return the settings that were in force at a time."""
        return self._book.of(self._state.configuration_at(ns))

    def _begin_medium(self, group: list[Run]) -> Work | None:
        """Open a recording for runs that no call claims; None when they are no media after all."""
        found = media.recognise(self._free(group), self._read_into)
        if not found:
            return None
        work = self._begun(found)
        if self._state.storage_full:
            work.failed = Reason.DISK_FULL
        self._state.works[work.call_id] = work
        return work

    def _begun(self, group: list[Run]) -> Work:
        first_ns, state = media.begun_ns(group), self._state
        return media.begin(group, self._decide(first_ns), state.configuration_at(first_ns), state.shift_at(first_ns))

    def _decide(self, first_ns: int) -> Decision:
        settings = self._settings_at(first_ns)
        if settings.record is Record.ALL:
            return Decision(wanted=True, reason=RuleReason.NONE, rule="record all")
        return rules.decide_unsignalled(settings.enterprises)

    def _finish_medium(self, group: list[Run]) -> None:
        """Write a medium that is over, and whatever else is free in its runs; then let go of them."""
        try:
            self._conclude(group)
        except StorageError:
            raise
        except Exception as error:
            self._give_up_group([run for run in group if run.number in self._state.runs.by_number], error)

    def _conclude(self, group: list[Run]) -> None:
        state = self._state
        work = self._owner(group)
        if work is None:
            work = self._begin_medium(group)
        else:
            self._join(work, group)
        while work is not None:
            members = [state.runs.by_number[number] for number in work.runs if number in state.runs.by_number]
            for stream in self._end_medium(work, self._medium_ending(work, members)):
                for run in stream.runs:
                    run.claimed.append(Claim(stream.from_ns, stream.until_ns, work.call_id))
            work = self._begin_medium(group)
        for run in group:
            self._drop(run)

    def _medium_ending(self, work: Work, members: list[Run]) -> Ending:
        """Media that flows when the capture begins or ends is not whole."""
        state = self._state
        ended_ns = max((run.free_spans() or [(0, run.last_ns)])[0][1] for run in members)
        joined_late = state.first_ns is not None and work.first_ns - state.first_ns <= NS
        flowing = state.ended_ns is not None and state.ended_ns - ended_ns <= NS
        cause = EndCause.CAPTURE_ENDED if flowing else EndCause.MEDIA_TIMEOUT
        return Ending(cause=cause, ended_ns=ended_ns, joined_late=joined_late)

    def _end_medium(self, work: Work, ending: Ending) -> list[BoundStream]:
        """Write the last part and the record; return what they are made of."""
        streams = media.streams(work, self._state.runs, ending.ended_ns)
        protected = media.protection(work, streams, self._state.signalling)
        if work.is_written and not protected:
            self._recorder.part(work, None, streams, ending.ended_ns, ending)
        elif protected:
            media.note_protected(work, streams, self._book.of(work.config).zone)
        else:
            self._state.counters.not_wanted += sum(run.rows for stream in streams for run in stream.runs)
        self._recorder.close(work, None, media.links(work), ending)
        self._state.works.pop(work.call_id, None)
        return streams

    def _count_left_out(self, run: Run, claim: Claim | None, times: IntArray) -> None:
        """Count packets that are no call's any more, and list those of a recording that was over."""
        counters = self._state.counters
        if claim is None:
            counters.not_rtp += len(times)
        elif claim.family and not claim.recorded:
            counters.not_wanted += len(times)
        else:
            counters.too_late += len(times)
            self._recorder.late(run, claim, times)

    def _drop(self, run: Run) -> None:
        if not run.claimed:
            self._state.counters.not_rtp += run.rows
        else:
            for claim, times in media.unclaimed(run, self._read_into):
                self._count_left_out(run, claim, times)
        self._state.runs.remove(run)
