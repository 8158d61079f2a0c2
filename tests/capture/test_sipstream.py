from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.sip import parse
from capture.sipstream import MAX_HEAD_BYTES, MAX_MESSAGE_BYTES, SipStream
from tests.capture.sip_messages import OFFER, build, invite

BYE = build("BYE sip:x@y.example SIP/2.0")
OK = build("SIP/2.0 200 OK", "Content-Type: application/sdp", body=OFFER)
SIPFRAG = build("NOTIFY sip:x@y.example SIP/2.0", "Content-Type: message/sipfrag", body=b"SIP/2.0 200 OK\r\n")
CONVERSATION = (invite(), b"\r\n\r\n", OK, b"\r\n", BYE, SIPFRAG, BYE)
EXPECTED = [parse(piece) for piece in CONVERSATION if piece.strip()]


def methods(messages):
    return [message.method for message in messages]


def test_many_messages_in_one_chunk():
    stream = SipStream()
    assert stream.feed(b"".join(CONVERSATION)) == EXPECTED
    assert (bytes(stream.buffer), stream.malformed, stream.skipped_bytes) == (b"", 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(b"".join(CONVERSATION))), max_size=60))
def test_any_chunking_gives_the_same_messages(cuts):
    whole = b"".join(CONVERSATION)
    stream = SipStream()
    places = [0, *sorted(cuts), len(whole)]
    messages = [m for start, end in pairwise(places) for m in stream.feed(whole[start:end])]
    assert messages == EXPECTED
    assert (stream.malformed, stream.skipped_bytes) == (0, 0)


def test_byte_by_byte():
    stream = SipStream()
    assert [m for byte in b"".join(CONVERSATION) for m in stream.feed(bytes([byte]))] == EXPECTED


@settings(max_examples=30, deadline=None)
@given(st.integers(0, len(b"".join(CONVERSATION))))
def test_stored_and_taken_up_again(cut):
    whole = b"".join(CONVERSATION)
    stream = SipStream()
    messages = stream.feed(whole[:cut])
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(stream), type=SipStream)
    assert again == stream
    assert messages + again.feed(whole[cut:]) == EXPECTED


def test_without_length_there_is_no_body():
    stream = SipStream()
    assert [m.body for m in stream.feed(invite(without="content-length", body=b"") + BYE)] == [b"", b""]


def test_large_body():
    body = b"v=0\r\n" + b"a=x\r\n" * 13_000
    stream = SipStream()
    message = invite(body=body)
    assert stream.feed(message[:60_000]) == []
    assert [m.sdp() for m in stream.feed(message[60_000:] + BYE)] == [body, None]


@pytest.mark.parametrize(
    "garbage",
    [
        b"nothing known\r\n",
        b"\x16\x03\x01\x02\x00\x01\n" * 20,
        b"X" * 100_000 + b"\n",
        b"SIP/2.0 2000 no\r\n",
        build("OPTIONS sip:a@b.example SIP/2.0", without="call-id"),
        build("OPTIONS sip:a@b.example SIP/2.0", without="cseq"),
    ],
)
def test_garbage_between_messages_is_counted_and_skipped(garbage):
    stream = SipStream()
    assert methods(stream.feed(BYE + garbage + BYE)) == ["BYE", "BYE"]
    assert (stream.malformed, stream.skipped_bytes, stream.lost) == (1, len(garbage), False)


def test_garbage_that_ends_in_the_middle_of_a_line():
    stream = SipStream()
    assert stream.feed(b"garb\r\nage\r\nBYE sip:x@y.exa") == []
    assert stream.lost
    assert methods(stream.feed(BYE[len(b"BYE sip:x@y.exa") :])) == ["BYE"]


def test_length_that_is_too_small():
    stream = SipStream()
    messages = stream.feed(invite("Content-Length: 10", without="content-length") + BYE)
    assert methods(messages) == ["INVITE", "BYE"]
    assert (messages[0].body, stream.skipped_bytes, stream.malformed) == (OFFER[:10], len(OFFER) - 10, 1)


def test_length_over_the_bound():
    stream = SipStream()
    request = invite(f"Content-Length: {MAX_MESSAGE_BYTES}", without="content-length")
    assert methods(stream.feed(request + BYE)) == ["BYE"]
    assert (stream.malformed, stream.skipped_bytes) == (1, len(request))


def test_head_over_the_bound():
    stream = SipStream()
    request = invite("Subject: " + "x" * MAX_HEAD_BYTES)
    assert methods(stream.feed(request) + stream.feed(BYE)) == ["BYE"]
    assert (stream.malformed, stream.skipped_bytes) == (1, len(request))


def test_head_that_never_ends_keeps_the_buffer_bounded():
    stream = SipStream()
    for _ in range(200):
        assert stream.feed(b"INVITE sip:a@b.example SIP/2.0\r\n" + b"X: y\r\n" * 500) == []
        assert len(stream.buffer) <= MAX_HEAD_BYTES
    assert stream.malformed


def test_line_that_never_ends_keeps_the_buffer_bounded():
    stream = SipStream()
    for _ in range(200):
        assert stream.feed(b"x" * 3000) == []
        assert len(stream.buffer) <= MAX_HEAD_BYTES + 3000
    assert methods(stream.feed(b"\r\n" + BYE)) == ["BYE"]


def test_head_cut_unseen_by_the_next_message():
    stream = SipStream()
    assert methods(stream.feed(OK[:120] + b"\r\n" + BYE)) == ["BYE"]
    assert (stream.malformed, stream.skipped_bytes) == (1, 122)


class TestGap:
    def test_in_a_body_gives_the_message_truncated(self):
        stream = SipStream()
        first = invite()
        assert stream.feed(first[:-50]) == []
        stream.gap()
        cut, following = stream.feed(BYE)
        assert (cut.method, cut.body, cut.truncated) == ("INVITE", OFFER[:-50], True)
        assert following == parse(BYE)
        assert (stream.malformed, stream.skipped_bytes) == (0, 0)

    def test_in_a_head_gives_what_can_be_read(self):
        stream = SipStream()
        first = invite("Expires: 60")
        stream.feed(first[: first.index(b"Expires") + 3])
        stream.gap()
        (message,) = stream.feed(b"")
        assert (message.method, message.truncated, message.first("expires")) == ("INVITE", True, None)

    def test_before_the_needed_headers(self):
        stream = SipStream()
        stream.feed(BYE[:60])
        stream.gap()
        assert stream.feed(b"") == []
        assert (stream.malformed, stream.skipped_bytes) == (1, 60)

    def test_goes_on_at_the_next_start_line(self):
        stream = SipStream()
        stream.gap()
        assert stream.feed(b"of a body\r\na=sendrecv\r\n" + OK[:7]) == []
        assert stream.feed(OK[7:] + BYE) == [parse(OK), parse(BYE)]
        assert (stream.malformed, stream.skipped_bytes) == (0, 23)

    def test_status_line_of_a_sipfrag_body_is_not_taken_for_a_message(self):
        stream = SipStream()
        stream.gap()
        assert methods(stream.feed(b"Content-Length: 16\r\n\r\nSIP/2.0 200 OK\r\n" + BYE + BYE)) == ["BYE", "BYE"]

    def test_between_messages(self):
        stream = SipStream()
        assert methods(stream.feed(BYE)) == ["BYE"]
        stream.gap()
        assert methods(stream.feed(BYE)) == ["BYE"]
        assert (stream.malformed, stream.skipped_bytes) == (0, 0)
