import json

import pytest

from capture.errors import SipError
from capture.sip import SipMessage, looks_like_sip, parse
from capture.sipaddress import parse_name_address
from capture.sipfields import MAX_HEADER_LINES, split_list
from tests.capture.sip_messages import OFFER, build, invite


def test_request_has_every_field():
    message = parse(invite("User-Agent: Desk 1.0"))
    assert message == SipMessage(
        method="INVITE",
        status=None,
        request_uri="sip:0698765432@carrier.example",
        reason="",
        fields=(
            ("via", "SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK-71"),
            ("from", "<sip:0312345678@pbx.example>;tag=from1"),
            ("to", "<sip:0698765432@carrier.example>"),
            ("call-id", "c0ffee@pbx.example"),
            ("cseq", "7 INVITE"),
            ("content-length", str(len(OFFER))),
            ("content-type", "application/sdp"),
            ("user-agent", "Desk 1.0"),
        ),
        body=OFFER,
        truncated=False,
    )
    assert message.is_request
    assert (message.call_id, message.cseq) == ("c0ffee@pbx.example", 7)
    assert (message.from_tag, message.to_tag) == ("from1", "")
    assert (message.from_.user, message.to.host) == ("0312345678", "carrier.example")
    assert message.first("user-agent") == "Desk 1.0"
    assert message.first("server") is None


def test_response_takes_its_method_from_cseq():
    message = parse(build("SIP/2.0 183 Session Progress", "To: <sip:b@x.example>;tag=b7", "CSeq: 102 UPDATE"))
    assert (message.status, message.reason, message.method, message.cseq) == (183, "Session Progress", "UPDATE", 102)
    assert (message.request_uri, message.is_request, message.to_tag) == ("", False, "b7")


@pytest.mark.parametrize(
    ("compact", "name"),
    [
        *(("a", "accept-contact"), ("b", "referred-by"), ("c", "content-type"), ("d", "request-disposition")),
        *(("e", "content-encoding"), ("f", "from"), ("i", "call-id"), ("j", "reject-contact"), ("k", "supported")),
        *(("l", "content-length"), ("m", "contact"), ("n", "identity-info"), ("o", "event"), ("r", "refer-to")),
        *(("s", "subject"), ("t", "to"), ("u", "allow-events"), ("v", "via"), ("x", "session-expires")),
        ("y", "identity"),
    ],
)
def test_compact_names_come_out_long(compact, name):
    for spelling in (compact, compact.upper(), f"{compact} \t"):
        message = parse(build("OPTIONS sip:x@y.example SIP/2.0", f"{spelling}: 12", without="content-length"))
        assert (name, "12") in message.fields


def test_a_call_in_compact_names_only():
    message = parse(
        b"INVITE sip:b@y.example SIP/2.0\r\nv:SIP/2.0/UDP 192.0.2.1\r\nf:<sip:a@y.example>;tag=1\r\n"
        b"t:<sip:b@y.example>\r\ni:77\r\nCSeq:1 INVITE\r\nc:application/sdp\r\nl:3\r\n\r\nv=0\r\n"
    )
    assert (message.call_id, message.from_tag, message.to.user, message.sdp()) == ("77", "1", "b", b"v=0")


def test_folded_lines_unfold_to_one_space():
    message = parse(invite("Subject: one  \r\n \t two\r\n\t\r\n   three", "Supported:\r\n timer,\r\n\t100rel"))
    assert message.first("subject") == "one two three"
    assert message.all("supported") == ("timer", "100rel")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", b"\n", b"\0\0\r\n"])
def test_line_ends_and_leading_blank_lines(end, before):
    message = parse(before + invite("Subject: a\n b", end=end))
    assert (message.call_id, message.first("subject"), message.body) == ("c0ffee@pbx.example", "a b", OFFER)


def test_padding_with_nul_is_no_body():
    bye = build("BYE sip:x@y.example SIP/2.0", without="content-length")
    assert parse(bye + bytes(40)).body == b""
    assert parse(bye.removesuffix(b"\r\n") + bytes(40)).call_id == "c0ffee@pbx.example"


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("Content-Length: 5", OFFER[:5]),
        ("Content-Length: 00005 ", OFFER[:5]),
        ("Content-Length: 99999", OFFER),
        ("Content-Length: -5", OFFER),
        ("Content-Length: five", OFFER),
        ("Content-Length: 5\r\nContent-Length: 6", OFFER),
        ("Content-Length: 5\r\nl: 05", OFFER[:5]),
        ("X-None: 1", OFFER),
    ],
)
def test_body_of_a_datagram(length, expected):
    message = parse(invite(length, without="content-length"))
    assert (message.body, message.truncated) == (expected, False)


def test_bytes_that_are_no_utf8_become_replacement_characters():
    message = parse(invite("Subject: caf\udce9", 'From: "\udcff\udcfe" <sip:a@y.example>;tag=\udc80', "X-\udcaa: 録音"))
    assert message.first("subject") == "caf\ufffd"
    assert (message.from_.display, message.from_tag) == ("\ufffd\ufffd", "\ufffd")
    assert json.loads(json.dumps(message.fields, ensure_ascii=False).encode())[-1] == ["x-\ufffd", "録音"]


@pytest.mark.parametrize(
    ("datagram", "text"),
    [
        (b"", "no SIP start line"),
        (b"\r\n\r\n", "no SIP start line"),
        (bytes(4), "no SIP start line"),
        (b"INVITE\r\n\r\n", "no SIP start line"),
        (b"INVITE SIP/2.0\r\n\r\n", "no SIP start line"),
        (b"GET / HTTP/1.1\r\nCall-ID: 1\r\nCSeq: 1 GET\r\n\r\n", "no SIP start line"),
        (b"IN\xffITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 GET\r\n\r\n", "no SIP start line"),
        (build("SIP/2.0 20 OK"), "status code is not three digits"),
        (build("SIP/2.0 099 OK"), "status code is not three digits"),
        (build("SIP/2.0 ２００ OK"), "status code is not three digits"),
        (build("SIP/2.0"), "no SIP start line"),
        (invite(without="call-id"), "no Call-ID"),
        (invite("Call-ID:  "), "no Call-ID"),
        (invite(without="cseq"), "unreadable CSeq"),
        (invite("CSeq: INVITE"), "unreadable CSeq"),
        (invite("CSeq: 4294967296 INVITE"), "unreadable CSeq"),
        (invite("CSeq: 12x INVITE"), "unreadable CSeq"),
        (build("SIP/2.0 200 OK", "CSeq: 1"), "response whose CSeq names no method"),
        (invite(*["X: y"] * MAX_HEADER_LINES), "more than 1000 header lines"),
        (invite("X: y" + "\r\n z" * MAX_HEADER_LINES), "more than 1000 header lines"),
    ],
)
def test_errors(datagram, text):
    with pytest.raises(SipError, match=f"^{text}$"):
        parse(datagram)


def test_broken_headers_beside_the_needed_ones_do_not_matter():
    message = parse(invite("no colon here", ": no name", 'Contact: <<<>;;="', "From:", without="to"))
    assert message.call_id == "c0ffee@pbx.example"
    assert (message.from_.uri, message.from_tag, message.to.uri, message.to_tag) == ("", "", "", "")


class TestTruncated:
    whole = invite("Expires: 180")
    head_bytes = whole.index(b"\r\n\r\n") + 4

    def test_body_cut(self):
        message = parse(self.whole[: self.head_bytes + 30], truncated=True)
        assert (message.body, message.truncated) == (OFFER[:30], True)

    def test_nothing_of_the_message_cut(self):
        assert parse(self.whole, truncated=True) == parse(self.whole)
        assert not parse(self.whole + b"padding", truncated=True).truncated

    def test_last_partial_line_is_dropped(self):
        message = parse(self.whole[: self.whole.index(b"Expires") + 12], truncated=True)
        assert (message.first("content-type"), message.first("expires")) == ("application/sdp", None)
        assert (message.body, message.truncated) == (b"", True)

    def test_needed_header_cut(self):
        with pytest.raises(SipError, match="unreadable CSeq"):
            parse(self.whole[: self.whole.index(b"CSeq") + 9], truncated=True)

    def test_same_bytes_not_truncated_count_whole(self):
        assert parse(self.whole[: self.whole.index(b"Expires") + 12]).first("expires") == "180"


class TestLists:
    def test_one_line_equals_several(self):
        message = parse(
            invite("Via: SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b;branch=2", "v: SIP/2.0/TLS c", without="via")
        )
        assert message.all("via") == ("SIP/2.0/UDP a;branch=1", "SIP/2.0/TCP b;branch=2", "SIP/2.0/TLS c")

    def test_commas_in_quotes_and_brackets_do_not_separate(self):
        value = '"Suzuki, \\", T" <sip:1,2@a.example>;x="1,2" ,, <tel:+81312345678>, "open, end'
        assert parse(invite(f"P-Asserted-Identity: {value}")).all("p-asserted-identity") == (
            '"Suzuki, \\", T" <sip:1,2@a.example>;x="1,2"',
            "<tel:+81312345678>",
            '"open, end',
        )

    @pytest.mark.parametrize("name", ["Date", "WWW-Authenticate", "Subject", "User-Agent", "From"])
    def test_other_headers_are_never_split(self, name):
        message = parse(invite(f"{name}: Mon, 01 Jan"))
        assert message.all(name.lower()) == ("Mon, 01 Jan",)

    def test_absent_and_empty(self):
        assert parse(invite("Supported:")).all("supported") == ()
        assert parse(invite()).all("route") == ()
        assert split_list(" , ,") == ()


class TestRecognition:
    @pytest.mark.parametrize(
        "head",
        [
            invite(),
            b"\r\n\r\n" + invite(),
            build("SIP/2.0 200 OK"),
            b"SIP/2.0 180",
            b"sip/2.0 100 \n",
            b"FETCH-it tel:+81312345678 sip/2.0\r\nVia",
            b"INVITE <sip:a@b.example> SIP/2.0  \r\n",
            b"OPTIONS sip:a@b.example SIP/2.0",
        ],
    )
    def test_sip(self, head):
        assert looks_like_sip(head)

    @pytest.mark.parametrize(
        "head",
        [
            b"",
            b"\r\n\r\n",
            b"\x80\x00\x12\x34" + bytes(168),
            b"SIP/2.0 20\r\n",
            b"SIP/3.0 200 OK\r\n",
            b"GET http://a.example/ HTTP/1.1\r\n",
            b"INVITE sip:a@b.example",
            b"INVITE sip:a@b.example\r\nX: y SIP/2.0\r\n",
            b"DESCRIBE rtsp://a.example/ RTSP/1.0\r\n",
            b"a" * 65 + b" sip:a@b.example SIP/2.0\r\n",
        ],
    )
    def test_other(self, head):
        assert not looks_like_sip(head)


class TestBodies:
    def mixed(self, body, kind='multipart/mixed;boundary="b+1"'):
        return parse(build("INVITE sip:x@y.example SIP/2.0", f"Content-Type: {kind}", body=body))

    def test_single_body(self):
        message = parse(invite("Content-Type: Application/SDP ; charset=utf-8", without="content-type"))
        assert message.bodies() == (("application/sdp", OFFER),)
        assert message.sdp() == OFFER

    def test_without_body(self):
        assert parse(build("BYE sip:x@y.example SIP/2.0", "Content-Type: application/sdp")).bodies() == ()

    def test_description_without_content_type(self):
        assert parse(invite(without="content-type")).sdp() == OFFER

    def test_parts(self):
        body = (
            b"preamble\r\n--b+1\r\nContent-Type: application/sdp\r\n"
            b"Content-Disposition: session;\r\n handling=required\r\n\r\n"
            + OFFER
            + b"\r\n--b+1  \r\n\r\nplain\r\n--b+10 is text\r\n"
            b"--b+1\r\nc: application/octet-stream\r\n\r\n\0\r\n\xff\r\n--b+1--\r\n"
            b"--b+1\r\n\r\nepilogue"
        )
        message = self.mixed(body)
        assert message.bodies() == (
            ("application/sdp", OFFER),
            ("text/plain", b"plain\r\n--b+10 is text"),
            ("application/octet-stream", b"\0\r\n\xff"),
        )
        assert message.sdp() == OFFER

    def test_line_feeds_only_and_no_closing_line(self):
        assert self.mixed(b"--b+1\nContent-Type: application/sdp\n\nv=0\n").bodies() == (("application/sdp", b"v=0\n"),)

    def test_nested(self):
        inner = b"--in\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--in\r\nContent-Type: a/b\r\n\r\n1\r\n--in--"
        body = b"--b+1\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n" + inner + b"\r\n--b+1--"
        assert self.mixed(body).bodies() == (("application/sdp", b"v=0"), ("a/b", b"1"))

    def test_depth_and_number_of_parts_are_bounded(self):
        content = b"x"
        for level in range(6):
            kind = b"multipart/mixed;boundary=%d" % level
            content = b"--%d\r\nContent-Type: %s\r\n\r\n%s\r\n--%d--" % (
                level,
                kind.replace(b"=%d" % level, b"=%d" % (level - 1)),
                content,
                level,
            )
        ((kind, _),) = self.mixed(content, "multipart/mixed;boundary=5").bodies()
        assert kind == "multipart/mixed"
        assert len(self.mixed(b"--b+1\r\n\r\nx\r\n" * 100).bodies()) == 32

    @pytest.mark.parametrize("kind", ["multipart/mixed", 'multipart/mixed;boundary=""'])
    def test_without_boundary_the_body_stays_whole(self, kind):
        assert self.mixed(b"--b\r\n\r\nx", kind).bodies() == (("multipart/mixed", b"--b\r\n\r\nx"),)


class TestNameAddress:
    @pytest.mark.parametrize(
        ("value", "display", "uri", "tag", "user", "host"),
        [
            ("<sip:0312345678@a.example>;tag=x1", "", "sip:0312345678@a.example", "x1", "0312345678", "a.example"),
            (
                "sip:0312345678@A.example:5070;tag=x1",
                "",
                "sip:0312345678@A.example:5070",
                "x1",
                "0312345678",
                "a.example",
            ),
            (
                '"営業" <sips:100@[2001:DB8::1]:5061;lr>',
                "営業",
                "sips:100@[2001:DB8::1]:5061;lr",
                "",
                "100",
                "2001:db8::1",
            ),
            ('"a \\"b\\\\ <c>" <sip:d@e>', 'a "b\\ <c>', "sip:d@e", "", "d", "e"),
            ("Two Words<sip:d@e>;TAG = y ;lr", "Two Words", "sip:d@e", "y", "d", "e"),
            (
                "<tel:+81-3-1234-5678;phone-context=a.example>",
                "",
                "tel:+81-3-1234-5678;phone-context=a.example",
                "",
                "+81-3-1234-5678",
                "",
            ),
            (
                "<sip:+81%331;phone-context=%2b81@a;user=phone>",
                "",
                "sip:+81%331;phone-context=%2b81@a;user=phone",
                "",
                "+8131",
                "a",
            ),
            (
                "<sip:me:secret@a.example?Replaces=c@h>",
                "",
                "sip:me:secret@a.example?Replaces=c@h",
                "",
                "me",
                "a.example",
            ),
            ("<sip:a?b@c.example>", "", "sip:a?b@c.example", "", "a?b", "c.example"),
            ("<sip:user@realm@proxy.example>", "", "sip:user@realm@proxy.example", "", "user@realm", "proxy.example"),
            ("<sip:proxy.example;lr>", "", "sip:proxy.example;lr", "", "", "proxy.example"),
            ("<sip:%ff%fe@a>", "", "sip:%ff%fe@a", "", "\ufffd\ufffd", "a"),
            ("<urn:service:sos>", "", "urn:service:sos", "", "", ""),
            ("*", "", "*", "", "", ""),
            ('"open <sip:d@e>;tag=1', "open", "sip:d@e", "1", "d", "e"),
            ("<sip:d@e;tag=inside", "", "sip:d@e;tag=inside", "", "d", "e"),
            ("", "", "", "", "", ""),
        ],
    )
    def test_forms(self, value, display, uri, tag, user, host):
        address = parse_name_address(value)
        assert (address.display, address.uri, address.tag) == (display, uri, tag)
        assert (address.user, address.host) == (user, host)

    def test_parameters(self):
        address = parse_name_address('<sip:a@b>;Q=0.5;Privacy=full;note="a;\\"b";empty=;flag;;tag=1;tag=2;open="x')
        assert address.parameters == {
            "q": "0.5",
            "privacy": "full",
            "note": 'a;"b',
            "empty": "",
            "flag": "",
            "tag": "1",
            "open": "x",
        }
