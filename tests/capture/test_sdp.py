import base64

import pytest

from capture import sdp
from capture.errors import SdpError
from capture.sdp import MAX_MEDIA, MediaDescription, SessionDescription
from capture.sdpattributes import STATIC_CODECS, Codec, Crypto, Direction, parse_address

KEY = bytes(range(30))
KEY_TEXT = base64.b64encode(KEY).decode()


def media(*lines, session=()):
    """The only m-line of a description with these lines."""
    (described,) = sdp.parse("\r\n".join(["v=0", *session, *lines, ""]).encode()).media
    return described


def audio(*lines, formats="0 8 101", session=("c=IN IP4 192.0.2.1",)):
    return media(f"m=audio 4000 RTP/AVP {formats}", *lines, session=session)


def test_every_field():
    body = (
        "v=0\r\no=desk 3724394400 3724394405 IN IP4 pbx.example\r\ns=call\r\nc=IN IP4 198.51.100.4\r\nt=0 0\r\n"
        "a=sendonly\r\na=fingerprint:sha-256 AB:CD\r\n"
        "m=audio 49170/2 RTP/SAVP 0 98 13\r\nc=IN IP6 2001:db8::5\r\nb=AS:64\r\n"
        "a=rtpmap:98 opus/48000/2\r\na=recvonly\r\n"
        f"a=ptime:30\r\na=maxptime:60\r\na=rtcp:53020 IN IP6 2001:db8::6\r\na=rtcp-mux\r\na=ssrc:4294967295 cname:x\r\n"
        f"a=ssrc:4294967295 msid:y\r\na=ssrc:7\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_TEXT}\r\n"
        "a=zrtp-hash:1.10 abcdef\r\na=candidate:1 1 UDP 1 192.0.2.9 5 typ host\r\n"
        "m=video 0 RTP/AVP 31\r\n"
    )
    assert sdp.parse(body.encode()) == SessionDescription(
        origin="desk 3724394400 3724394405 IN IP4 pbx.example",
        session_id="3724394400",
        version="3724394405",
        media=(
            MediaDescription(
                media="audio",
                port=49170,
                protocol="RTP/SAVP",
                formats=("0", "98", "13"),
                address=bytes.fromhex("20010db8000000000000000000000005"),
                direction=Direction.RECVONLY,
                codecs={
                    0: Codec(name="PCMU", clock_hz=8000, channels=1),
                    98: Codec(name="OPUS", clock_hz=48000, channels=2),
                    13: Codec(name="CN", clock_hz=8000, channels=1),
                },
                ptime_ms=30,
                maxptime_ms=60,
                rtcp_port=53020,
                rtcp_mux=True,
                crypto=(
                    Crypto(tag=1, suite="AES_CM_128_HMAC_SHA1_80", key_salt=KEY, mki=0, mki_bytes=0, parameters=()),
                ),
                fingerprint=True,
                zrtp=True,
                ssrcs=(4294967295, 7),
            ),
            MediaDescription(
                media="video",
                port=0,
                protocol="RTP/AVP",
                formats=("31",),
                address=bytes((198, 51, 100, 4)),
                direction=Direction.SENDONLY,
                codecs={31: Codec(name="H261", clock_hz=90000, channels=1)},
                ptime_ms=None,
                maxptime_ms=None,
                rtcp_port=None,
                rtcp_mux=False,
                crypto=(),
                fingerprint=True,
                zrtp=False,
                ssrcs=(),
            ),
        ),
        malformed=0,
    )


class TestCodecs:
    def test_static_types_only_when_offered(self):
        assert list(audio(formats="8 18 34 99").codecs) == [8, 18, 34]
        assert audio(formats="0 3 4 8 9 13 18").codecs == {n: STATIC_CODECS[n] for n in (0, 3, 4, 8, 9, 13, 18)}

    def test_rtpmap_before_the_table(self):
        codecs = audio("a=rtpmap:0 PCMU/16000", "a=rtpmap:101 telephone-event/8000", "a=rtpmap:96 pcma/8000/1").codecs
        assert codecs == {
            0: Codec(name="PCMU", clock_hz=16000, channels=1),
            8: STATIC_CODECS[8],
            101: Codec(name="TELEPHONE-EVENT", clock_hz=8000, channels=1),
        }

    def test_missing_clock_rate_is_that_of_telephony(self):
        assert audio("a=rtpmap:101 telephone-event").codecs[101].clock_hz == 8000

    @pytest.mark.parametrize(
        "bad", ["128 x/8000", "101", "x y/8000", "101 x/y", "101 x/0", "101 x/8000/0", "-1 x/1", ""]
    )
    def test_unreadable_rtpmap(self, bad):
        described = sdp.parse(f"m=audio 1 RTP/AVP 101\r\na=rtpmap:{bad}\r\n".encode())
        assert (described.media[0].codecs, described.malformed) == ({}, 1)

    def test_formats_of_other_transports_are_no_payload_types(self):
        described = media("m=image 5 udptl t38", "c=IN IP4 192.0.2.1")
        assert (described.media, described.protocol, described.formats, described.codecs) == (
            "image",
            "UDPTL",
            ("t38",),
            {},
        )
        assert media("m=audio 5 udp 0").codecs == {}

    def test_formats_that_are_no_numbers(self):
        assert list(audio(formats="* 0 1234 ８ -8").codecs) == [0]


class TestAddress:
    @pytest.mark.parametrize(
        ("connection", "packed"),
        [
            ("IN IP4 192.0.2.7", "c0000207"),
            ("IN IP4 192.0.2.7 ", "c0000207"),
            ("IN IP4 224.2.36.42/127", "e002242a"),
            ("IN IP4 224.2.36.42/127/3", "e002242a"),
            ("IN IP4 010.008.002.001", "0a080201"),
            ("IN IP6 ff15::101/3", "ff150000000000000000000000000101"),
            ("IN IP6 ::ffff:192.0.2.7", "00000000000000000000ffffc0000207"),
            ("IN IP6 fe80::1%eth0", "fe800000000000000000000000000001"),
        ],
    )
    def test_literals(self, connection, packed):
        assert audio(f"c={connection}").address == bytes.fromhex(packed)

    @pytest.mark.parametrize(
        "text", ["pbx.example", "a.b.c.d", "1.2.3", "1.2.3.256", "1.2.3.4.5", "::g", "1:2", "", "１.2.3.4"]
    )
    def test_anything_else_is_a_name(self, text):
        assert parse_address(text) is None

    def test_a_name_hides_the_address_of_the_session(self):
        assert audio("c=IN IP4 pbx.example").address is None

    def test_session_address_also_when_it_comes_late(self):
        assert audio().address == bytes((192, 0, 2, 1))
        assert audio(session=()).address is None

    def test_the_first_of_several_counts_and_a_broken_one_does_not(self):
        described = sdp.parse(b"m=audio 1 RTP/AVP 0\r\nc=IN\r\nc=IN IP4 10.0.0.1\r\nc=IN IP4 10.0.0.2\r\n")
        assert (described.media[0].address, described.malformed) == (bytes((10, 0, 0, 1)), 1)


class TestHold:
    @pytest.mark.parametrize(
        ("lines", "direction", "held"),
        [
            ((), "sendrecv", False),
            (("a=sendonly",), "sendonly", True),
            (("a=inactive ",), "inactive", True),
            (("a=RecvOnly",), "recvonly", False),
            (("a=inactive", "a=sendrecv"), "sendrecv", False),
            (("c=IN IP4 0.0.0.0",), "sendrecv", True),
            (("c=IN IP6 ::",), "sendrecv", True),
            (("c=IN IP4 pbx.example",), "sendrecv", False),
        ],
    )
    def test_of_the_media(self, lines, direction, held):
        described = audio(*lines)
        assert (described.direction, described.held, described.refused) == (direction, held, False)

    def test_of_the_session(self):
        session = ("a=inactive", "c=IN IP4 192.0.2.1")
        assert audio(session=session).held
        assert not audio("a=sendrecv", session=session).held

    def test_refused(self):
        assert media("m=audio 0 RTP/AVP 0").refused


class TestCrypto:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_TEXT}", (1, "AES_CM_128_HMAC_SHA1_80", 0, 0, ())),
            (f"2 aes_cm_128_hmac_sha1_32 INLINE:{KEY_TEXT}|2^31", (2, "AES_CM_128_HMAC_SHA1_32", 0, 0, ())),
            (f"3 A inline:{KEY_TEXT}|2^20|1:4", (3, "A", 1, 4, ())),
            (
                f"4 A inline:{KEY_TEXT}|258:2;inline:{KEY_TEXT}|2:1 KDR=1 UNENCRYPTED_SRTP",
                (4, "A", 258, 2, ("KDR=1", "UNENCRYPTED_SRTP")),
            ),
        ],
    )
    def test_forms(self, value, expected):
        (crypto,) = audio(f"a=crypto:{value}").crypto
        assert (crypto.tag, crypto.suite, crypto.mki, crypto.mki_bytes, crypto.parameters) == expected
        assert crypto.key_salt == KEY

    def test_key_without_padding(self):
        (crypto,) = audio(f"a=crypto:1 A inline:{base64.b64encode(bytes(46)).decode().rstrip('=')}").crypto
        assert crypto.key_salt == bytes(46)

    @pytest.mark.parametrize(
        "bad", ["", "1 A", "x A inline:AAAA", "1 A uri:AAAA", "1 A inline:A", "1 A inline:AA=A", "1 A inline:"]
    )
    def test_unreadable(self, bad):
        described = sdp.parse(f"m=audio 1 RTP/SAVP 0\r\na=crypto:{bad}\r\na=crypto:2 A inline:AAAA\r\n".encode())
        assert [crypto.tag for crypto in described.media[0].crypto] == [2]
        assert described.malformed == 1


class TestTolerance:
    def test_line_feeds_only_padding_and_stray_lines(self):
        described = sdp.parse(
            b"v=0\n\nwhat is this\n m=audio 9 RTP/AVP 0\nm=audio 8 RTP/AVP 0\na=\na=\xff\xfe:x\nA=y\n\0\0\0"
        )
        assert (len(described.media), described.media[0].port, described.malformed) == (1, 8, 3)

    @pytest.mark.parametrize(
        "bad", ["audio", "audio x RTP/AVP 0", "audio 65536 RTP/AVP 0", "audio -1 RTP/AVP 0", "audio 5", ""]
    )
    def test_unreadable_m_line_keeps_its_place(self, bad):
        described = sdp.parse(f"v=0\r\nm={bad}\r\na=sendonly\r\nm=video 6 RTP/AVP 31\r\n".encode())
        first, second = described.media
        assert (first.media, first.refused, second.port, second.direction) == ("", True, 6, "sendrecv")
        assert described.malformed == 1

    @pytest.mark.parametrize(
        ("attribute", "field", "value"),
        [
            ("ptime:20.5", "ptime_ms", 20),
            ("ptime: 20", "ptime_ms", 20),
            ("ptime:0", "ptime_ms", None),
            ("ptime:x", "ptime_ms", None),
            ("PTime:40", "ptime_ms", 40),
            ("rtcp:0", "rtcp_port", None),
            ("rtcp:70000", "rtcp_port", None),
            ("ssrc:4294967296 cname:a", "ssrcs", ()),
        ],
    )
    def test_numbers(self, attribute, field, value):
        assert getattr(audio(f"a={attribute}"), field) == value

    def test_packet_time_of_the_session(self):
        assert audio(session=("a=ptime:30",)).ptime_ms == 30
        assert audio("a=ptime:10", session=("a=ptime:30",)).ptime_ms == 10

    def test_without_origin(self):
        described = sdp.parse(b"o=x\r\nm=audio 1 RTP/AVP 0\r\n")
        assert (described.origin, described.session_id, described.version) == ("x", "", "")

    @pytest.mark.parametrize("body", [b"", b"\r\n\r\n", bytes(50), b"<xml/>", b"hello\r\nworld\r\n"])
    def test_nothing_usable(self, body):
        with pytest.raises(SdpError, match=r"^no line of a session description$"):
            sdp.parse(body)


class TestBounds:
    def test_m_lines(self):
        described = sdp.parse(b"m=audio 5 RTP/AVP 0\r\na=sendonly\r\n" * 100)
        assert len(described.media) == MAX_MEDIA
        assert described.malformed == 100 - MAX_MEDIA

    def test_lines_after_the_last_m_line_do_not_change_it(self):
        described = sdp.parse(b"m=audio 5 RTP/AVP 0\r\n" * MAX_MEDIA + b"m=audio 6 RTP/AVP 0\r\na=inactive\r\n")
        assert described.media[-1].direction == "sendrecv"

    def test_formats_keys_and_sources(self):
        described = audio(
            *(f"a=ssrc:{n}" for n in range(90)), *(f"a=crypto:{n} A inline:AAAA" for n in range(90)), formats="0 " * 999
        )
        assert (len(described.formats), len(described.ssrcs), len(described.crypto)) == (128, 32, 32)

    def test_bytes(self):
        assert sdp.parse(b"v=0\r\n" + b"x=y\r\n" * 20_000 + b"m=audio 5 RTP/AVP 0\r\n").media == ()
