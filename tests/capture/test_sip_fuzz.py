"""Hostile bytes: the parsers of SIP and SDP raise only their own errors, give text that can be stored, stay quick."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import sdp
from capture.errors import SdpError, SipError
from capture.sip import looks_like_sip, parse
from capture.sipaddress import parse_name_address
from capture.sipstream import MAX_MESSAGE_BYTES, SipStream
from tests.capture.sip_messages import OFFER, build, invite

QUICK_S = 0.25
"""CPU time for 64 kB of anything. Really it is under 20 ms; a parser that is quadratic in any of it needs seconds."""
SIZE_BYTES = 64 * 1024

MULTIPART = invite(
    "Content-Type: multipart/mixed;boundary=q",
    body=b"--q\r\nContent-Type: application/sdp\r\n\r\n" + OFFER + b"\r\n--q\r\n\r\nx\r\n--q--\r\n",
    without="content-type",
)
SEEDS = (
    invite(
        'P-Asserted-Identity: "A, B" <sip:1@a.example>, <tel:+8131>',
        "Subject: a\r\n b",
        'Contact: "x\\"" <sip:%41@[::1]:5>;q="1"',
    ),
    build("SIP/2.0 200 OK", "To: <sip:b@y.example>;tag=b", "Content-Type: application/sdp", body=OFFER),
    MULTIPART,
    b"v=0\r\no=a 1 2 IN IP4 b\r\nc=IN IP6 2001:db8::1/4\r\na=sendonly\r\n"
    b"m=audio 49170/2 RTP/SAVP 0 96\r\na=rtpmap:96 x/8000/2\r\n"
    b"a=crypto:1 A inline:AAAAAAAA|2^20|1:4 KDR=1\r\na=ssrc:1 cname:x\r\na=rtcp:5 IN IP4 0.0.0.0\r\na=ptime:20\r\n",
)
TOKENS = (
    b"\r\n",
    b"\n",
    b" ",
    b"\t",
    b"\0",
    b'"',
    b"\\",
    b"<",
    b">",
    b",",
    b";",
    b"=",
    b":",
    b"@",
    b"%",
    b"/",
    b"--q",
    b"\xff",
    b"9" * 30,
)


def read_everything(data):
    """All that a reader may ask of these bytes. Raises SipError and nothing else."""
    looks_like_sip(data)
    for truncated in (False, True):
        message = parse(data, truncated=truncated)
        assert message.call_id
        assert 0 <= message.cseq < 2**32
        texts: list[object] = [
            *message.fields,
            message.method,
            message.request_uri,
            message.reason,
            message.from_tag,
            message.to_tag,
        ]
        for name, value in message.fields:
            address = parse_name_address(value)
            texts += [address.display, address.user, address.host, dict(address.parameters), message.all(name)]
        json.dumps(texts, ensure_ascii=False).encode()
        for _, content in (*message.bodies(), ("", message.sdp() or b"")):
            read_description(content)


def read_description(body):
    try:
        described = sdp.parse(body)
    except SdpError:
        return
    for stream in described.media:
        assert 0 <= stream.port < 65536
        assert stream.address is None or len(stream.address) in (4, 16)
        assert all(codec.clock_hz > 0 and codec.channels > 0 for codec in stream.codecs.values())
        assert stream.ptime_ms is None or stream.ptime_ms > 0
        assert stream.rtcp_port is None or 0 < stream.rtcp_port < 65536
        json.dumps([stream.formats, stream.protocol, stream.media], ensure_ascii=False).encode()


def read_quietly(data):
    try:
        read_everything(data)
    except SipError:
        read_description(data)


@st.composite
def mutated(draw):
    """A seed with a few edits: bytes replaced, cut out, put in, or a piece repeated."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        piece = draw(
            st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4), st.just(bytes(data[place : place + 40])))
        )
        data[place : place + length] = piece * draw(st.sampled_from((1, 1, 1, 7)))
    return bytes(data)


@settings(max_examples=200, deadline=None)
@given(mutated())
def test_mutated_messages(data):
    read_quietly(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(data):
    read_quietly(data)
    read_quietly(b"INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n" + data)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(mutated(), st.sampled_from(SEEDS), st.binary(max_size=50), st.none()), max_size=6),
    st.integers(1, 700),
)
def test_streams(pieces, chunk_bytes):
    """None is a gap. Every byte is handed out, skipped, or still in the buffer."""
    stream = SipStream()
    for piece in pieces:
        if piece is None:
            stream.gap()
            continue
        for start in range(0, len(piece), chunk_bytes):
            for message in stream.feed(piece[start : start + chunk_bytes]):
                assert message.call_id
    assert len(stream.buffer) <= MAX_MESSAGE_BYTES
    assert stream.skipped_bytes >= 0
    stream.gap()
    stream.feed(b"")
    assert not stream.buffer
    assert [message.method for message in stream.feed(b"\r\n" + SEEDS[0])] == ["INVITE"]


HEAD = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: multipart/mixed;boundary=q\r\n"
UNITS = (
    *TOKENS,
    b"A",
    b"A ",
    b"a:\n",
    b" c\n",
    b'"\\',
    b'a=";',
    b"SIP/2.0 ",
    b"a@",
    b"--q\r\n",
    b"a=rtpmap:1 a/8000\n",
    b"m=a 1 RTP/ 0\n",
)


@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_a_large_datagram_of_one_thing_takes_no_time(unit):
    run = (unit * SIZE_BYTES)[:SIZE_BYTES]
    start = time.process_time()
    for prefix in (
        b"",
        b"INVITE ",
        b"INVITE sip:",
        HEAD,
        HEAD + b"\r\n",
        HEAD + b"From: <sip:",
        HEAD + b'To: "',
        HEAD + b"Via: ",
    ):
        read_quietly(prefix + run)
    for prefix in (
        b"v=0\n",
        b"m=audio 1 RTP/AVP ",
        b"m=audio 1 RTP/AVP 0\na=rtpmap:0 ",
        b"m=audio 1 RTP/AVP 0\na=crypto:1 A inline:A",
    ):
        read_description(prefix + run)
    assert time.process_time() - start < 12 * QUICK_S


@pytest.mark.parametrize("unit", UNITS, ids=repr)
@pytest.mark.parametrize("chunk_bytes", [16, 1460])
def test_a_stream_of_one_thing_takes_no_time(unit, chunk_bytes):
    run = HEAD + (unit * SIZE_BYTES)[:SIZE_BYTES]
    stream = SipStream()
    start = time.process_time()
    for place in range(0, len(run), chunk_bytes):
        stream.feed(run[place : place + chunk_bytes])
    assert time.process_time() - start < QUICK_S
