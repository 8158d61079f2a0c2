"""Which streams are a call's, and whose voice they are: by the addresses announced, however the packets come."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.binding import BoundStream, bind, crypto, payload_types, silent_since
from capture.endpoint import Endpoint
from capture.runs import PAUSE_NS, Claim, RunTable
from capture.sipcall import MediaEpoch, Side, SipCall
from tests.capture import sip_scenarios
from tests.capture.sip_dialogs import ANSWER, OFFER, PROXY, START_NS, A, B, Dialog, only_call, sdp

CALLER, CALLEE = Side.CALLER, Side.CALLEE
HERE, THERE = Endpoint(A.ip, 40_000), Endpoint(B.ip, 50_000)
"""Where the two telephones receive."""
NAT = Endpoint(bytes([203, 0, 113, 7]), 61_234)
STRANGER = Endpoint(bytes([203, 0, 113, 99]), 40_000)
SECOND_NS = 1_000_000_000
ALWAYS = (0, 1 << 62)


def epoch(side: Side, at: Endpoint, ts_ns: int = 0, **changes: object) -> MediaEpoch:
    """One side wants to receive audio at an address from a time on."""
    plain = MediaEpoch(
        ts_ns=ts_ns, side=side, m_line=0, media="audio", ip=at.ip, port=at.port, rtcp_port=at.port + 1,
        direction="sendrecv", protocol="RTP/AVP", codecs={0: "PCMU"}, ptime_ms=None, crypto=[], secured="",
        to_tag="", provisional=False, transaction="caller 1 INVITE",
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def call_of(*media: MediaEpoch) -> SipCall:
    call = SipCall(call_id="c", from_tag="f", first_ns=0, last_ns=0, invite_source=A, invite_destination=B)
    call.media += media
    return call


PLAIN = call_of(epoch(CALLER, HERE), epoch(CALLEE, THERE))


def runs(*streams: tuple[Endpoint, Endpoint, int, Sequence[int]]) -> RunTable:
    """A table of streams: source, destination, SSRC, times of the packets."""
    table = RunTable()
    for source, destination, ssrc, times in streams:
        for ts_ns in times:
            table.add_packet((source, destination, ssrc), ts_ns, b"")
    return table


def told(streams: Sequence[BoundStream]) -> list[tuple[int, Side]]:
    """SSRC and side, the best fitting first."""
    return [(stream.key[2], stream.side) for stream in streams]


def best(streams: Sequence[BoundStream], side: Side) -> int:
    """SSRC of the best fitting stream of a side."""
    return next(stream.key[2] for stream in streams if stream.side is side)


class TestSides:
    def test_the_destination_tells(self):
        table = runs((THERE, HERE, 2, [5]), (HERE, THERE, 1, [6]))
        assert dict(told(bind(PLAIN, table, *ALWAYS))) == {1: CALLER, 2: CALLEE}

    @settings(max_examples=50, deadline=None)
    @given(order=st.permutations(range(4)))
    def test_the_order_of_arrival_does_not(self, order):
        streams = [(HERE, THERE, 1, [7]), (THERE, HERE, 2, [7]), (NAT, THERE, 3, [7]), (THERE, NAT, 4, [7])]
        table = runs(*(streams[place] for place in order))
        found = bind(PLAIN, table, *ALWAYS)
        assert told(found) == told(bind(PLAIN, runs(*streams), *ALWAYS))
        assert dict(told(found)) == {1: CALLER, 2: CALLEE, 3: CALLER, 4: CALLEE}

    def test_streams_of_others(self):
        table = runs((STRANGER, NAT, 1, [5]), (Endpoint(HERE.ip, HERE.port + 2), NAT, 2, [5]))
        assert bind(PLAIN, table, *ALWAYS) == []

    @pytest.mark.parametrize("unusable", [{"ip": None}, {"port": 0}])
    def test_an_m_line_without_an_address(self, unusable):
        call = call_of(epoch(CALLER, HERE, **unusable))
        assert bind(call, runs((THERE, HERE, 1, [5]), (THERE, Endpoint(HERE.ip, 0), 2, [5])), *ALWAYS) == []

    def test_of_several_streams_to_one_address_the_one_from_the_announced_address_fits_best(self):
        """Somebody else sends to the callee too; the caller itself sends from where it receives."""
        found = bind(PLAIN, runs((STRANGER, THERE, 9, [1]), (HERE, THERE, 1, [2])), *ALWAYS)
        assert told(found) == [(1, CALLER), (9, CALLER)]
        found = bind(PLAIN, runs((STRANGER, HERE, 9, [1]), (THERE, HERE, 2, [2])), *ALWAYS)
        assert told(found) == [(2, CALLEE), (9, CALLEE)]

    def test_early_media_of_a_description_seen_later(self):
        call = call_of(epoch(CALLER, HERE, 100), epoch(CALLEE, THERE, 900))
        assert dict(told(bind(call, runs((THERE, HERE, 2, [200]), (HERE, THERE, 1, [300])), *ALWAYS))) == {
            1: CALLER,
            2: CALLEE,
        }


class TestNat:
    """The caller announces an address of its own network, and the far side sees another."""

    def test_both_directions(self):
        table = runs((NAT, THERE, 1, [5]), (THERE, NAT, 2, [5]))
        assert told(bind(PLAIN, table, *ALWAYS)) == [(1, CALLER), (2, CALLEE)]

    def test_on_both_sides_of_it(self):
        """The mirror shows the packets before and after translation: what was announced as it is comes first."""
        table = runs((NAT, THERE, 1, [5]), (THERE, NAT, 2, [5]), (HERE, THERE, 1, [5]), (THERE, HERE, 2, [5]))
        found = bind(PLAIN, table, *ALWAYS)
        assert [(stream.key[:2], stream.side) for stream in found[:2]] == [
            ((HERE, THERE), CALLER),
            ((THERE, HERE), CALLEE),
        ]
        assert len(found) == 4


class TestSeveralMLines:
    HERE_2, THERE_2 = Endpoint(A.ip, 40_002), Endpoint(B.ip, 50_002)

    @pytest.mark.parametrize("media", ["audio", "video"])
    def test_the_first_fits_best(self, media):
        second: dict[str, Any] = {"m_line": 1, "media": media}
        call = call_of(*PLAIN.media, epoch(CALLER, self.HERE_2, **second), epoch(CALLEE, self.THERE_2, **second))
        table = runs(
            (self.HERE_2, self.THERE_2, 3, [1]),
            (self.THERE_2, self.HERE_2, 4, [1]),
            (HERE, THERE, 1, [2]),
            (THERE, HERE, 2, [2]),
        )
        found = bind(call, table, *ALWAYS)
        assert (best(found, CALLER), best(found, CALLEE)) == (1, 2)
        assert {stream.key[2]: stream.media for stream in found} == {1: "audio", 2: "audio", 3: media, 4: media}
        assert dict(told(found)) == {1: CALLER, 2: CALLEE, 3: CALLER, 4: CALLEE}

    def test_a_second_behind_nat_is_not_better_than_the_first(self):
        call = call_of(*PLAIN.media, epoch(CALLEE, self.THERE_2, m_line=1))
        assert told(bind(call, runs((NAT, self.THERE_2, 2, [1]), (NAT, THERE, 1, [2])), *ALWAYS)) == [
            (1, CALLER),
            (2, CALLER),
        ]

    @pytest.mark.parametrize("m_line", [9, 10, 1000])
    def test_a_late_m_line_never_weighs_more_than_the_addresses(self, m_line):
        far = epoch(CALLEE, self.THERE_2, m_line=m_line)
        found = bind(
            call_of(epoch(CALLER, HERE), far), runs((HERE, self.THERE_2, 1, [1]), (HERE, STRANGER, 2, [1])), *ALWAYS
        )
        assert told(found) == [(1, CALLER), (2, CALLER)]


class TestRelay:
    """One dialog on two hops, with a relay between: every packet of a voice is there twice, with other addresses."""

    OUTER, INNER = Endpoint(PROXY.ip, 20_000), Endpoint(PROXY.ip, 10_000)
    """Where the relay receives from the caller, and from the callee."""

    @settings(max_examples=30, deadline=None)
    @given(order=st.permutations(range(4)))
    def test_the_path_nearest_to_the_caller_comes_first(self, order):
        call = only_call(sip_scenarios.relayed())
        far, near = (self.INNER, THERE, 1, [START_NS]), (HERE, self.OUTER, 1, [START_NS + 1])
        back_far, back_near = (THERE, self.INNER, 2, [START_NS]), (self.OUTER, HERE, 2, [START_NS + 1])
        table = runs(*([far, near, back_far, back_near][place] for place in order))
        found = bind(call, table, *ALWAYS)
        assert {stream.key: stream.side for stream in found} == {
            (HERE, self.OUTER, 1): CALLER,
            (self.INNER, THERE, 1): CALLER,
            (self.OUTER, HERE, 2): CALLEE,
            (THERE, self.INNER, 2): CALLEE,
        }
        assert {stream.key for stream in found[:2]} == {(HERE, self.OUTER, 1), (self.OUTER, HERE, 2)}

    def test_both_sides_are_taken_from_one_path_when_the_caller_is_behind_nat(self):
        """On the hop with the NAT the addresses fit badly; the other one is whole."""
        call = only_call(sip_scenarios.relayed())
        table = runs(
            (NAT, self.OUTER, 1, [START_NS]), (self.OUTER, NAT, 2, [START_NS]),
            (self.INNER, THERE, 1, [START_NS]), (THERE, self.INNER, 2, [START_NS]),
        )  # fmt: skip
        assert {stream.key[:2] for stream in bind(call, table, *ALWAYS)[:2]} == {
            (self.INNER, THERE),
            (THERE, self.INNER),
        }


class TestChanges:
    MOVED = Endpoint(B.ip, 50_100)

    def test_the_callee_moves(self):
        """Re-INVITE with another port; what was sent to the old one and comes late is still the caller."""
        dialog = Dialog()
        dialog.establish()
        dialog.wait(10)
        dialog.change(sdp("192.0.2.20", self.MOVED.port), OFFER, by=CALLEE)
        now = dialog.now_ns
        table = runs(
            (HERE, THERE, 1, [START_NS, now]), (THERE, HERE, 2, [START_NS, now]),
            (HERE, self.MOVED, 1, [now]), (self.MOVED, HERE, 5, [now]),
        )  # fmt: skip
        found = bind(only_call(dialog.packets), table, *ALWAYS)
        assert {(stream.key, stream.side) for stream in found} == {
            ((HERE, THERE, 1), CALLER),
            ((THERE, HERE, 2), CALLEE),
            ((HERE, self.MOVED, 1), CALLER),
            ((self.MOVED, HERE, 5), CALLEE),
        }

    def test_an_address_goes_over_to_the_other_side(self):
        """What was said last before the packets counts."""
        call = call_of(epoch(CALLER, HERE), epoch(CALLEE, THERE), epoch(CALLER, THERE, 500), epoch(CALLEE, HERE, 500))
        table = runs((HERE, THERE, 1, [10, 490]), (HERE, THERE, 3, [510]), (THERE, HERE, 4, [510]))
        assert dict(told(bind(call, table, *ALWAYS))) == {1: CALLER, 3: CALLEE, 4: CALLER}

    def test_a_new_ssrc_is_another_stream(self):
        table = runs((HERE, THERE, 1, [10]), (HERE, THERE, 7, [20]))
        assert sorted(told(bind(PLAIN, table, *ALWAYS))) == [(1, CALLER), (7, CALLER)]


class TestSpans:
    @pytest.mark.parametrize(
        ("from_ns", "until_ns", "bound"),
        [(0, 99, False), (0, 100, True), (150, 160, True), (200, 300, True), (201, 300, False)],
    )
    def test_both_ends_are_included(self, from_ns, until_ns, bound):
        found = bind(PLAIN, runs((HERE, THERE, 1, [100, 200])), from_ns, until_ns)
        assert told(found) == ([(1, CALLER)] if bound else [])
        assert all((stream.from_ns, stream.until_ns) == (from_ns, until_ns) for stream in found)

    def test_runs_of_one_stream_are_joined_in_order(self):
        table = runs((HERE, THERE, 1, [n * (PAUSE_NS + 1) for n in range(4)]))
        (stream,) = bind(PLAIN, table, PAUSE_NS // 2, 3 * PAUSE_NS)
        assert [run.number for run in stream.runs] == [1, 2]
        assert stream.extents() == [extent for run in stream.runs for extent in run.extents()]

    @pytest.mark.parametrize(
        ("claimed", "bound"),
        [
            ([(100, 200)], False),
            ([(120, 180)], False),
            ([(0, 150), (151, 999)], False),
            ([(170, 200), (100, 160), (150, 169)], False),
            ([(0, 119)], True),
            ([(121, 999)], True),
            ([(0, 149), (151, 999)], True),
        ],
    )
    def test_what_earlier_calls_took(self, claimed, bound):
        """The call's share of the run is 120 to 180."""
        table = runs((HERE, THERE, 1, [100, 200]))
        table.by_number[0].claimed += [Claim(low, high) for low, high in claimed]
        assert told(bind(PLAIN, table, 120, 180)) == ([(1, CALLER)] if bound else [])

    @pytest.mark.parametrize(
        ("family", "ends", "bound"), [("mine", 3, True), ("other", 3, False), ("other", 2, True), ("", 0, False)]
    )
    def test_legs_of_one_call_take_the_same(self, family, ends, bound):
        """So does a call that announced both ends, from one that announced the destination alone."""
        table = runs((HERE, THERE, 1, [100, 200]))
        table.by_number[0].claimed.append(Claim(0, 999, "one", family, ends, recorded=True))
        assert told(bind(PLAIN, table, 120, 180, "two", "mine")) == ([(1, CALLER)] if bound else [])

    def test_a_stream_keeps_its_free_runs(self):
        table = runs((HERE, THERE, 1, [0, PAUSE_NS + 1]))
        table.by_number[0].claimed.append(Claim(0, 10))
        (stream,) = bind(PLAIN, table, *ALWAYS)
        assert [run.number for run in stream.runs] == [1]


class TestNegotiated:
    KEYS = ((1, "AES_CM_128_HMAC_SHA1_80", b"a" * 30), (1, "AES_CM_128_HMAC_SHA1_80", b"b" * 30))

    def test_the_keys_are_the_sender_s(self):
        ours, theirs = ([key] for key in self.KEYS)
        secured: dict[str, Any] = {"protocol": "RTP/SAVP", "secured": "sdes"}
        call = call_of(epoch(CALLER, HERE, crypto=ours, **secured), epoch(CALLEE, THERE, crypto=theirs, **secured))
        found = bind(
            call,
            runs((HERE, THERE, 1, [5]), (THERE, HERE, 2, [5]), (NAT, THERE, 3, [5]), (THERE, NAT, 4, [5])),
            *ALWAYS,
        )
        keys = {stream.key[2]: crypto(call, stream.key) for stream in found}
        assert keys == {1: [self.KEYS[0][1:]], 3: [self.KEYS[0][1:]], 2: [self.KEYS[1][1:]], 4: [self.KEYS[1][1:]]}
        assert {stream.secured for stream in found} == {"sdes"}

    def test_what_the_sender_alone_secures_is_secured(self):
        call = call_of(epoch(CALLER, HERE, secured="dtls"), epoch(CALLEE, THERE))
        (stream,) = bind(call, runs((HERE, THERE, 1, [5])), *ALWAYS)
        assert stream.secured == "dtls"

    def test_the_latest_key_is_last_and_none_comes_twice(self):
        first, second = self.KEYS
        call = call_of(
            *(epoch(CALLER, HERE, n, crypto=[key]) for n, key in enumerate((first, first, second))),
            epoch(CALLEE, THERE),
        )
        assert crypto(call, (HERE, THERE, 1)) == [first[1:], second[1:]]

    def test_payload_types_are_those_the_receiver_announced(self):
        call = call_of(
            epoch(CALLER, HERE, codecs={0: "PCMU", 96: "OPUS"}), epoch(CALLEE, THERE, codecs={8: "PCMA", 96: "SPEEX"})
        )
        assert payload_types(call, (HERE, THERE, 1)) == {8: "PCMA", 96: "SPEEX", 0: "PCMU"}
        assert payload_types(call, (THERE, NAT, 1)) == {8: "PCMA", 96: "SPEEX"}
        assert payload_types(call, (NAT, STRANGER, 1)) == {}

    def test_of_a_real_offer_and_answer(self):
        dialog = Dialog()
        dialog.establish(offer=OFFER, answer=ANSWER)
        call = only_call(dialog.packets)
        (stream,) = bind(call, runs((HERE, THERE, 1, [START_NS])), *ALWAYS)
        assert payload_types(call, stream.key)[0] == "PCMU"
        assert stream.secured == ""


class TestSilence:
    @pytest.mark.parametrize(
        ("times_s", "since_s", "last_s"),
        [
            ([], 10, 10),
            ([1, 5, 9], 10, 10),
            ([5, 12, 30], 10, 30),
            ([12, 100], 10, 12),
            ([80, 90], 10, 10),
            ([12, 40, 69, 98, 99, 200], 10, 99),
            ([12, 72.1], 10, 12),
            ([12, 42, 72], 10, 72),
            ([12, 72], 10, 72),
        ],
    )
    def test_the_first_pause_of_both_directions_together(self, times_s, since_s, last_s):
        """Packets alternate between the directions; a pause of 60 s ends the call."""
        table = runs(
            (HERE, THERE, 1, [round(t * SECOND_NS) for t in times_s[::2]]),
            (THERE, HERE, 2, [round(t * SECOND_NS) for t in times_s[1::2]]),
        )
        spans = sorted((run.first_ns, run.last_ns) for run in table.by_number.values())
        assert silent_since(spans, since_s * SECOND_NS, 60 * SECOND_NS) == last_s * SECOND_NS
