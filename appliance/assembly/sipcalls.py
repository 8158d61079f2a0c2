"""SIP calls from their first message to their record: which are wanted, when they end, what they claim."""

from dataclasses import replace
from itertools import islice

from appliance.assembly import sharing, turns
from appliance.assembly.account import Ending
from appliance.assembly.recorder import Recorder
from appliance.assembly.settings import NS, AssemblySettings, Legs, Record, SettingsBook
from appliance.assembly.state import AssemblyState, Due
from appliance.assembly.work import Work, sip_call_id
from capture import binding, rules
from capture.binding import BoundStream
from capture.rules import Decision, RuleReason
from capture.runs import PAUSE_NS, Claim, Run
from capture.sipcall import EndCause, SipCall
from dsp.timeline import SAMPLE_NS
from storage.errors import StorageError
from storage.vocabulary import Reason

SESSION_GRACE_S = 60
"""How much later than its session timer a call may be taken for over otherwise."""
FAILED_LINGER_NS = 5 * NS
"""How long a call that was not answered is kept for a retry before its record is written."""
MAX_COMPARED = 64
"""Calls at the same media addresses that are looked at for legs of one call."""


class SipCalls:
    """The SIP calls of an assembly."""

    def __init__(self, book: SettingsBook, state: AssemblyState, recorder: Recorder) -> None:
        self._book = book
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
            self._state.schedule(call.answered_ns + self._settings_of(call).media_timeout_ns, Due.MEDIA, call.key)
            if work.is_written:
                self._state.schedule(call.answered_ns + _segment_ns(self._settings_of(call)), Due.CUT, call.key)
        if call.is_over and state.legs.over(call.key, call.ended_ns):
            linger = self._settings_of(call).linger_ns if call.answered_ns is not None else FAILED_LINGER_NS
            ended = call.ended_ns if call.ended_ns is not None else call.last_ns
            self._state.schedule(max(ended + linger, state.now_ns), Due.FINISH, call.key)

    def _open(self, call: SipCall) -> Work:
        config = self._state.configuration_at(call.first_ns)
        settings = self._book.of(config)
        work = Work(
            call_id=sip_call_id(call),
            first_ns=call.first_ns,
            shift_ns=self._state.shift_at(call.first_ns),
            decision=self._decide(call, settings),
            config=config,
            sip_key=call.key,
            failed=Reason.DISK_FULL if self._state.storage_full else None,
        )
        self._state.works[call.key] = work
        work.family = work.call_id
        if not work.is_written:
            self._state.schedule(call.first_ns + _segment_ns(settings), Due.CUT, call.key)
        self._state.legs.link(call, work, self._state.signalling.dialogs.calls, self._state.works)
        return work

    def _settings_of(self, call: SipCall) -> AssemblySettings:
        """Return the settings that were in force at the INVITE."""
        return self._book.of(self._state.works[call.key].config)

    def _decide(self, call: SipCall, settings: AssemblySettings) -> Decision:
        if settings.record is Record.ALL and not settings.enterprises:
            return Decision(wanted=True, reason=RuleReason.NONE, rule="record all")
        decision = rules.decide(
            settings.enterprises,
            caller=call.caller.number,
            asserted=call.asserted,
            callee=call.callee.number,
            dialled=call.dialled,
            diversion=call.diversion,
        )
        if settings.record is Record.ALL and not decision.wanted:
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
        """An answered call without media for too long has ended; on hold that is much longer."""
        call = self._state.signalling.dialogs.calls.get(key)
        if call is None or call.is_over or call.answered_ns is None:
            return
        held = [hold.start_ns for hold in call.holds if hold.end_ns is None]
        timeout = self._hold_timeout_ns(call) if held else self._settings_of(call).media_timeout_ns
        last = max(self._heard_until(call, timeout), call.last_ns, *held)
        if last + timeout > self._state.now_ns:
            following = min(last + timeout, self._state.now_ns + self._settings_of(call).media_timeout_ns)
            self._state.schedule(following if held else last + timeout, Due.MEDIA, key)
            return
        work = self._state.works[key]
        if work.origin_ns is not None:  # what was written before it was known that nobody is there any more
            last = max(last, work.origin_ns + work.next_sample * SAMPLE_NS)
        call.end(last, EndCause.MEDIA_TIMEOUT)
        self.note(call)

    def _hold_timeout_ns(self, call: SipCall) -> int:
        """A session that was agreed to is refreshed, or ends by its own timer."""
        return max(self._settings_of(call).hold_timeout_ns, ((call.session_expires_s or 0) + SESSION_GRACE_S) * NS)

    def _heard_until(self, call: SipCall, pause_ns: int) -> int:
        """Return the time after which the call's media paused for more than `pause_ns`, holds that are over aside."""
        assert call.answered_ns is not None
        since = max([call.answered_ns, *(hold.end_ns for hold in call.holds if hold.end_ns is not None)])
        spans = turns.heard(self._state, self._state.works[call.key], call)
        return binding.silent_since(spans, since, pause_ns)

    def _idles_on_hold(self, call: SipCall, work: Work) -> bool:
        """Whether a call is on hold and nothing of it came since its last part: there may never be a next one."""
        if work.origin_ns is None or not any(hold.end_ns is None for hold in call.holds):
            return False
        since = work.origin_ns + work.next_sample * SAMPLE_NS
        runs = [run for end in binding.endpoints(call) for run in self._state.runs.at(end)]
        return not any(run.last_ns >= since and run.first_ns <= self._state.now_ns for run in runs)

    def cut_due(self, key: str) -> None:
        """A long call's part is complete."""
        call = self._state.signalling.dialogs.calls.get(key)
        if call is None:
            return
        close_ns, settings = self._state.now_ns, self._settings_of(call)
        if call.is_over and call.ended_ns is not None and call.ended_ns < close_ns - settings.late_ns:
            return
        work = self._state.works[key]
        following = close_ns + settings.segment_s * NS
        streams = self._streams(call, close_ns)
        if self._idles_on_hold(call, work):
            pass  # written when it goes on, or never
        elif self._is_recorded(work, call):
            following = self._recorder.cut(work, call, streams, close_ns)
        elif not work.is_written:
            self._let_go(work, call, streams, close_ns - settings.late_ns)
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
            last = self._superseded_at(call)
            if last is not None:
                cause, ended = EndCause.MEDIA_TIMEOUT, last
            self._finish(call, Ending(cause=cause, ended_ns=ended, joined_late=call.joined_late))

    def _superseded_at(self, call: SipCall) -> int | None:
        """Return when a call whose BYE was not seen was heard last before others took its ports; None: none did."""
        if call.is_over or call.answered_ns is None or any(hold.end_ns is None for hold in call.holds):
            return None
        work = self._state.works[call.key]
        last = max(self._heard_until(call, self._settings_of(call).media_timeout_ns), call.last_ns)
        return last if turns.is_past(self._state, work, call, last) else None

    def weigh_expiry(self, call: SipCall) -> None:
        """A session that ran out while media flow goes on; otherwise the media tell when it really ended."""
        if call.end_cause is not EndCause.SESSION_EXPIRED or call.answered_ns is None or call.ended_ns is None:
            return
        last = self._heard_until(call, self._settings_of(call).media_timeout_ns)
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
        settings = self._settings_of(call)
        one_leg = settings.record is Record.RULES and settings.legs is Legs.ONE
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
                    until_ns = ending.ended_ns + self._settings_of(call).linger_ns
                    run.claimed.append(Claim(call.first_ns, until_ns, work.call_id, work.family))
            self._leave(call, work, ending)

    def _conclude(self, call: SipCall, ending: Ending) -> None:
        state = self._state
        work = state.works[call.key]
        close_ns = ending.ended_ns + self._settings_of(call).linger_ns
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
            keys -= {rival.sip_key for rival in turns.rivals(self._state, work, stream.key)}
            begins = [calls[key].first_ns for key in keys if key in calls]
            if not begins:
                others = [run for run in stream.runs if not any(c.recorded for c in run.claimed)]
                self._state.counters.not_wanted += sum(run.rows for run in others)
            until_ns = min([close_ns, *(first_ns - 1 for first_ns in begins)])
            self._claim(work, stream, until_ns, recorded=False)

    def _let_go(self, work: Work, call: SipCall, streams: list[BoundStream], until_ns: int) -> None:
        """Forget media of a call that is not recorded, but for a recorded one that announced it too."""
        calls, works = self._state.signalling.dialogs.calls, self._state.works
        if work.aside:
            self._recorder.keep(work, streams)
        for stream in streams:
            keys = {key for end in stream.key[:2] for key in self._state.announced.get(end, ())} - {call.key}
            begins = [calls[key].first_ns - 1 for key in keys if key in calls and works[key].is_written]
            for run in stream.runs:
                if run.first_ns >= stream.from_ns:
                    self._state.runs.let_go(run, min([until_ns, *begins]))

    def _claim(self, work: Work, stream: BoundStream, until_ns: int, *, recorded: bool) -> None:
        """Let nobody but other legs of the call have a stream's packets up to a time."""
        until_ns = min(until_ns, stream.until_ns)
        claim = Claim(stream.from_ns, until_ns, work.call_id, work.family, stream.ends, recorded)
        if stream.from_ns <= until_ns:
            for run in stream.runs:
                run.claimed.append(claim)

    def _release(self, run: Run) -> None:
        """Let go of what nobody can have any more: it is some call's, and not of the time of those that go on."""
        state = self._state
        keys = {key for end in (run.source, run.destination) for key in state.announced.get(end, ())}
        begins = [state.works[key].first_ns - 1 for key in keys if key in state.works]
        claimed_until = max((claim.high_ns for claim in run.claimed), default=0)
        free_ns = next(iter(run.free_spans()), (max(run.last_ns, claimed_until) + 1, 0))[0]
        settings = self._book.of(state.configuration_at(run.first_ns))
        if settings.record is Record.RULES and not any(each.unsignalled for each in settings.enterprises):
            # Nobody wants what flowed before the call: it is only kept for as long as a call may still be about it.
            free_ns = max(free_ns, state.now_ns - _segment_ns(settings))
        state.runs.let_go(run, min([free_ns - 1, *begins]))

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
                self._release(run)
                self._state.schedule(max(run.last_ns + PAUSE_NS + 1, state.now_ns), Due.RUN, str(run.number))


def _ending_of(call: SipCall, else_ns: int) -> Ending:
    """How a call that is over ended."""
    ended_ns = call.ended_ns if call.ended_ns is not None else else_ns
    return Ending(cause=call.end_cause or EndCause.NO_ANSWER, ended_ns=ended_ns, joined_late=call.joined_late)


def _segment_ns(settings: AssemblySettings) -> int:
    """After this long media is in a part, or in none."""
    return settings.segment_s * NS + settings.late_ns
