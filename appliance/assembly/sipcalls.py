"""SIP calls from their first message to their record: which are wanted, when they end, what they claim."""

from dataclasses import replace
from itertools import islice

from appliance.assembly import sharing
from appliance.assembly.account import Ending
from appliance.assembly.recorder import Recorder
from appliance.assembly.settings import NS, AssemblySettings, Legs, Record
from appliance.assembly.state import AssemblyState, Due
from appliance.assembly.work import Work, sip_call_id
from capture import binding, rules
from capture.binding import BoundStream
from capture.rules import Decision, RuleReason
from capture.runs import PAUSE_NS, Claim
from capture.sipcall import EndCause, SipCall
from storage.errors import StorageError
from storage.vocabulary import Reason

FAILED_LINGER_NS = 5 * NS
"""How long a call that was not answered is kept for a retry before its record is written."""
MAX_COMPARED = 64
"""Calls at the same media addresses that are looked at for legs of one call."""


class SipCalls:
    """The SIP calls of an assembly."""

    def __init__(self, settings: AssemblySettings, state: AssemblyState, recorder: Recorder) -> None:
        self._settings = settings
        self._state = state
        self._recorder = recorder

    def note(self, call: SipCall) -> None:
        """A call has changed."""
        state = self._state
        work = state.works.get(call.key)
        if work is None:
            work = self._open(call)
        self._announce(call)
        if call.answered_ns is not None and state.legs.answered(call.key):
            self._state.schedule(call.answered_ns + self._settings.media_timeout_ns, Due.MEDIA, call.key)
            self._state.schedule(
                call.answered_ns + self._settings.segment_s * NS + self._settings.late_ns, Due.CUT, call.key
            )
        if call.is_over and state.legs.over(call.key, call.ended_ns):
            linger = self._settings.linger_ns if call.answered_ns is not None else FAILED_LINGER_NS
            ended = call.ended_ns if call.ended_ns is not None else call.last_ns
            self._state.schedule(max(ended + linger, state.now_ns), Due.FINISH, call.key)

    def _open(self, call: SipCall) -> Work:
        work = Work(
            call_id=sip_call_id(call),
            first_ns=call.first_ns,
            decision=self._decide(call),
            sip_key=call.key,
            failed=Reason.DISK_FULL if self._state.storage_full else None,
        )
        self._state.works[call.key] = work
        work.family = work.call_id
        self._state.legs.link(call, work, self._state.signalling.dialogs.calls, self._state.works)
        return work

    def _decide(self, call: SipCall) -> Decision:
        if self._settings.record is Record.ALL and not self._settings.enterprises:
            return Decision(wanted=True, reason=RuleReason.NONE, rule="record all")
        decision = rules.decide(
            self._settings.enterprises,
            caller=call.caller.number,
            asserted=call.asserted,
            callee=call.callee.number,
            dialled=call.dialled,
            diversion=call.diversion,
        )
        if self._settings.record is Record.ALL and not decision.wanted:
            return replace(decision, wanted=True, reason=RuleReason.NONE, rule="record all")
        return decision

    def _announce(self, call: SipCall) -> None:
        """Remember the call's media addresses, also those of offers that are withdrawn later."""
        state = self._state
        known = state.addresses.setdefault(call.key, [])
        fresh = [endpoint for endpoint in binding.endpoints(call) if endpoint not in known]
        for endpoint in fresh:
            known.append(endpoint)
            state.announced.setdefault(endpoint, {})[call.key] = None
        others = dict.fromkeys(key for endpoint in fresh for key in state.announced[endpoint] if key != call.key)
        for key in islice(others, MAX_COMPARED):
            if len(set(known).intersection(state.addresses[key])) > 1:
                state.legs.link_by_media(call, state.signalling.dialogs.calls[key], state.works)

    def finish_due(self, key: str) -> None:
        """A call that was over has lingered long enough."""
        call = self._state.signalling.dialogs.calls.get(key)
        if call is None or not call.is_over:
            self._state.legs.revived(key)
            return
        self._finish(call, _ending_of(call, call.last_ns))

    def media_due(self, key: str) -> None:
        """An answered call without media for too long has ended, unless it is on hold."""
        call = self._state.signalling.dialogs.calls.get(key)
        if call is None or call.is_over or call.answered_ns is None:
            return
        timeout = self._settings.media_timeout_ns
        last = max(binding.silent_since(call, self._state.runs, call.answered_ns, timeout), call.last_ns)
        for hold in call.holds:
            last = max(last, hold.end_ns if hold.end_ns is not None else self._state.now_ns)
        if last + timeout > self._state.now_ns:
            self._state.schedule(last + timeout, Due.MEDIA, key)
            return
        call.end(last, EndCause.MEDIA_TIMEOUT)
        self.note(call)

    def cut_due(self, key: str) -> None:
        """A long call's part is complete."""
        call = self._state.signalling.dialogs.calls.get(key)
        if call is None:
            return
        close_ns = self._state.now_ns
        if call.is_over and call.ended_ns is not None and call.ended_ns < close_ns - self._settings.late_ns:
            return
        work = self._state.works[key]
        following = close_ns + self._settings.segment_s * NS
        if self._is_recorded(work, call):
            following = self._recorder.cut(work, call, self._streams(call, close_ns), close_ns)
        self._state.schedule(following, Due.CUT, key)

    def end(self, now_ns: int) -> None:
        """Finish all calls: the input has ended."""
        for call in list(self._state.signalling.dialogs.calls.values()):
            if call.key not in self._state.works:
                self._open(call)
                self._announce(call)
            ended = call.ended_ns if call.ended_ns is not None else now_ns
            cause = call.end_cause if call.is_over and call.end_cause else EndCause.CAPTURE_ENDED
            if call.failure is not None and not call.is_over and call.answered_ns is None:
                cause = call.failure.cause
            self._finish(call, Ending(cause=cause, ended_ns=ended, joined_late=call.joined_late))

    def weigh_expiry(self, call: SipCall) -> None:
        """A session that ran out while media flow goes on; otherwise the media tell when it really ended."""
        if call.end_cause is not EndCause.SESSION_EXPIRED or call.answered_ns is None or call.ended_ns is None:
            return
        last = binding.silent_since(call, self._state.runs, call.answered_ns, self._settings.media_timeout_ns)
        if last > call.ended_ns:
            self._state.signalling.dialogs.go_on(call, last)
        elif last > call.answered_ns and not call.held_at(last):
            call.ended_ns = last

    def _streams(self, call: SipCall, close_ns: int) -> list[BoundStream]:
        """Return the streams of a call up to a time; a call that was joined late has those from before it was seen."""
        runs = self._state.runs
        from_ns = binding.unclaimed_since(call, runs) if call.joined_late else call.first_ns
        return sharing.streams(self._state, self._state.works[call.key], call, from_ns, close_ns)

    def _is_recorded(self, work: Work, call: SipCall) -> bool:
        if not work.is_written or call.answered_ns is None:
            return False
        one_leg = self._settings.record is Record.RULES and self._settings.legs is Legs.ONE
        if not one_leg or not self._state.legs.nearer(work, self._state.works, self._is_heard):
            return True
        work.elsewhere = True
        reason, rule = RuleReason.LINE_UNKNOWN, "another leg is nearer to the line"
        work.decision = replace(work.decision, wanted=False, reason=reason, rule=rule)
        return False

    def _is_heard(self, work: Work) -> bool:
        """Whether an answered call has media that can be recorded."""
        call = self._state.signalling.dialogs.calls.get(work.sip_key)
        if call is None or call.answered_ns is None:
            return False
        return any(
            stream.media == "audio"
            and (not stream.secured or binding.crypto(call, stream.key))
            and not {"PCMU", "PCMA"}.isdisjoint(binding.payload_types(call, stream.key).values())
            for stream in self._streams(call, self._state.now_ns)
        )

    def give_up(self, key: str, error: Exception) -> None:
        """Something went wrong with a call outside of its recording: its end is waited for, and nothing else tried."""
        self._recorder.set_aside(self._state.works[key], (), error)
        call = self._state.signalling.dialogs.calls[key]
        if call.is_over:
            self._leave(call, self._state.works[key], _ending_of(call, self._state.now_ns))

    def _finish(self, call: SipCall, ending: Ending) -> None:
        """Write the last part and the record of a call that is over, and let go of everything it held."""
        try:
            self._conclude(call, ending)
        except StorageError:
            raise
        except Exception as error:
            work = self._state.works[call.key]
            self._recorder.set_aside(work, (), error)
            for endpoint in self._state.addresses.get(call.key, ()):
                for run in self._state.runs.at(endpoint):
                    until_ns = ending.ended_ns + self._settings.linger_ns
                    run.claimed.append(Claim(call.first_ns, until_ns, work.call_id, work.family))
            self._leave(call, work, ending)

    def _conclude(self, call: SipCall, ending: Ending) -> None:
        state = self._state
        work = state.works[call.key]
        close_ns = ending.ended_ns + self._settings.linger_ns
        streams = self._streams(call, close_ns)
        if self._is_recorded(work, call):
            self._recorder.part(work, call, streams, close_ns, ending)
            for stream in streams:
                self._claim(work, stream, close_ns, recorded=not work.aside)
        elif work.aside:
            self._recorder.keep(work, streams)
            for stream in streams:
                self._claim(work, stream, close_ns, recorded=False)
        else:
            self._pass_over(work, call, streams, close_ns)
        self._leave(call, work, ending)

    def _leave(self, call: SipCall, work: Work, ending: Ending) -> None:
        state = self._state
        self._recorder.close(work, call, state.legs.links(call, work), ending)
        del state.works[call.key]
        self._withdraw(call)
        state.legs.forget(call, work)
        state.signalling.dialogs.forget(call)

    def _pass_over(self, work: Work, call: SipCall, streams: list[BoundStream], close_ns: int) -> None:
        """Take the media of a call that is not recorded, but leave it to a call that goes on and announced it too.

        Both legs of a call have one media path when a PBX handles the signalling only.
        """
        calls, announced = self._state.signalling.dialogs.calls, self._state.announced
        for stream in streams:
            keys = {key for end in stream.key[:2] for key in announced.get(end, ())} - {call.key}
            begins = [calls[key].first_ns for key in keys if key in calls]
            if not begins:
                others = [run for run in stream.runs if not any(c.recorded for c in run.claimed)]
                self._state.counters.not_wanted += sum(run.rows for run in others)
            until_ns = min([close_ns, *(first_ns - 1 for first_ns in begins)])
            self._claim(work, stream, until_ns, recorded=False)

    def _claim(self, work: Work, stream: BoundStream, until_ns: int, *, recorded: bool) -> None:
        """Let nobody but other legs of the call have a stream's packets up to a time."""
        claim = Claim(stream.from_ns, until_ns, work.call_id, work.family, stream.ends, recorded)
        if stream.from_ns <= until_ns:
            for run in stream.runs:
                run.claimed.append(claim)

    def _withdraw(self, call: SipCall) -> None:
        """The call's addresses are free; runs that waited for it are looked at again."""
        state = self._state
        for endpoint in state.addresses.pop(call.key, []):
            holders = state.announced.get(endpoint)
            if holders is not None:
                holders.pop(call.key, None)
                if not holders:
                    del state.announced[endpoint]
            for run in state.runs.at(endpoint):
                self._state.schedule(max(run.last_ns + PAUSE_NS + 1, state.now_ns), Due.RUN, str(run.number))


def _ending_of(call: SipCall, else_ns: int) -> Ending:
    """How a call that is over ended."""
    ended_ns = call.ended_ns if call.ended_ns is not None else else_ns
    return Ending(cause=call.end_cause or EndCause.NO_ANSWER, ended_ns=ended_ns, joined_late=call.joined_late)
