"""The situations of RFC 4475 section 3, with messages of our own: what a passive listener makes of each.

An endpoint rejects many of these. A recorder keeps what it can read, and refuses only what has no usable start line,
Call-ID or CSeq.
"""

import pytest

from capture import sdp
from capture.errors import SipError
from capture.sip import looks_like_sip, parse
from capture.sipstream import SipStream
from tests.capture.sip_messages import OFFER, build, invite


def options(*lines, uri="sip:desk@carrier.example", body=b"", without=""):
    return parse(build(f"OPTIONS {uri} SIP/2.0", *lines, body=body, without=without))


class TestValidButUnusual:
    """Section 3.1.1."""

    def test_wsinv_white_space_folding_and_case_everywhere(self):
        message = parse(
            b"INVITE sip:front.desk@hotel.example;odd SIP/2.0\r\n"
            b"TO :\r\n sip:front.desk@hotel.example ;   tag    = 4411b\r\n"
            b'fRoM   : "Room \\\\\\""       <sip:room@hotel.example>\r\n  ;\r\n  tag = r00m\r\n'
            b"MAX-forwards: 0068\r\ncall-ID: lots.of.space@198.51.100.7\r\nContent-LENGTH   : "
            + b"%d"
            % len(OFFER)
            + b"\r\n"
            b"cseq: 0012\r\n  INVITE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    198.51.100.7;branch=one\r\ns :\r\n"
            b"Novelty:   first part\r\n second part\r\nOnlySeparators: ;;,,;;,;\r\nContent-Type: application/sdp\r\n"
            b"Route:\r\n <sip:edge.hotel.example;lr;odd=value;odder>\r\n"
            b"v:  SIP  / 2.0  / TCP     core.hotel.example   ;\r\n  branch  =   z9hG4bKtwo  ,\r\n"
            b" SIP  /    2.0   / UDP  203.0.113.9   ; branch=\r\n z9hG4bKthree\r\n"
            b'm:"It is \\"\\"" <sip:room@hotel.example> ; fresh =\r\n      paint ;\r\n  more ; q = 0.5\r\n\r\n' + OFFER
        )
        assert (message.method, message.cseq, message.call_id) == ("INVITE", 12, "lots.of.space@198.51.100.7")
        assert (message.from_.display, message.from_tag, message.to_tag) == ('Room \\"', "r00m", "4411b")
        assert message.to.uri == "sip:front.desk@hotel.example"
        assert len(message.all("via")) == 3
        assert message.first("subject") == ""
        assert message.first("novelty") == "first part second part"
        assert message.first("route") == "<sip:edge.hotel.example;lr;odd=value;odder>"
        assert message.sdp() == OFFER

    def test_intmeth_every_legal_character(self):
        method = "!Listen-In0123456789_*+`.%surely'~"
        uri = "sip:2_strange.URI~(to-be!true)&aren't+they$/odd?,/;;*:&it+is=1,so!*pas$wo~d.(isn't-it)@strange.example"
        message = parse(
            build(
                f"{method} {uri} SIP/2.0",
                'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:2_strange.URI~(to-be!true)@strange.example>',
                "From: word1~` word2'+_ word3*%!.- <sip:plain@strange.example>;p''~+*_!.-%=\"録音\";tag=_t~1'+`*%!-.",
                "Call-ID: odd.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
                f"CSeq: 139122385 {method}",
                "unheardOf-!.%*+_`'~:\ufeff大停電",
            )
        )
        assert (message.method, message.cseq, message.request_uri) == (method, 139122385, uri)
        assert message.call_id == "odd.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
        assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
        assert message.from_.display == "word1~` word2'+_ word3*%!.-"
        assert message.from_.parameters["p''~+*_!.-%"] == "録音"
        assert message.from_tag == "_t~1'+`*%!-."
        assert message.first("unheardof-!.%*+_`'~") == "\ufeff大停電"

    def test_esc01_escapes_in_uris(self):
        message = parse(
            build(
                "INVITE sip:sips%3Adesk%40hotel.example@edge.example SIP/2.0",
                "To: sip:%64esk@hotel.example",
                "From: <sip:two%20words@edge.example>;tag=11",
            )
        )
        assert message.request_uri == "sip:sips%3Adesk%40hotel.example@edge.example"
        assert (message.to.user, message.from_.user, message.from_.host) == ("desk", "two words", "edge.example")

    def test_escnull_escaped_nul(self):
        message = parse(build("REGISTER sip:hotel.example SIP/2.0", "To: sip:nul-%00-nul@hotel.example"))
        assert message.to.user == "nul-\0-nul"

    def test_esc02_percent_that_is_no_escape(self):
        message = parse(
            build("RE%47IST%45R sip:hotel.example SIP/2.0", "%4eAME: 1", 'To: "%Z%45" <sip:desk@hotel.example>')
        )
        assert (message.method, message.first("%4eame"), message.to.display) == ("RE%47IST%45R", "1", "%Z%45")

    def test_lwsdisp_no_space_before_the_bracket(self):
        message = options("From: Desk<sip:desk@hotel.example>;tag=5")
        assert (message.from_.display, message.from_.user, message.from_tag) == ("Desk", "desk", "5")

    def test_longreq_long_values(self):
        long = "long" * 60
        message = parse(
            invite(
                f'To: "{long}" <sip:{long}:pw@{long}.example>',
                f"From: sip:{long}@{long}.example;{long}={long};tag={long};p",
                f"Call-ID: {long}@{long}.example",
                f"Un{long}: {long}, {long}",
                *(f"Via: SIP/2.0/TCP s{number}.{long}.example;branch=z9hG4bK{long}" for number in range(33)),
                f"Contact: <sip:{long}@{long}.example>",
                without="via",
            )
        )
        assert (message.call_id, message.from_tag, message.to.user) == (f"{long}@{long}.example", long, long)
        assert message.to.display == long
        assert len(message.all("via")) == 33
        assert message.sdp() == OFFER

    def test_dblreq_bytes_after_the_body(self):
        message = parse(build("REGISTER sip:hotel.example SIP/2.0") + invite())
        assert (message.method, message.body) == ("REGISTER", b"")

    def test_semiuri_semicolon_in_the_user_part(self):
        message = options(uri="sip:desk;day=%40monday@hotel.example", without="to")
        assert message.request_uri == "sip:desk;day=%40monday@hotel.example"

    def test_transports_known_and_unknown(self):
        kinds = ("UDP", "SCTP", "TLS", "PIGEON", "TCP")
        message = options(*(f"Via: SIP/2.0/{kind} {kind}.example;branch=z9hG4bK1" for kind in kinds), without="via")
        assert [via.split()[0] for via in message.all("via")] == [f"SIP/2.0/{kind}" for kind in kinds]

    def test_mpart01_multipart_with_a_binary_part(self):
        signature = bytes(range(256))
        plain = b"--s7\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
        signed = b"--s7\r\nContent-Type: application/pkcs7-signature\r\n\r\n" + signature + b"\r\n--s7--\r\n"
        message = parse(
            build(
                "MESSAGE sip:desk@hotel.example SIP/2.0",
                "Content-Type: multipart/signed;micalg=sha1; boundary=s7",
                body=plain + signed,
            )
        )
        assert message.bodies() == (("text/plain", b"Hello"), ("application/pkcs7-signature", signature))

    def test_unreason_unicode_reason(self):
        message = parse(build("SIP/2.0 200 = 2**3 * 5**2 вот так"))
        assert (message.status, message.reason) == (200, "= 2**3 * 5**2 вот так")

    def test_noreason_empty_reason(self):
        for line in ("SIP/2.0 100 ", "SIP/2.0 100"):
            message = parse(build(line))
            assert (message.status, message.reason) == (100, "")


class TestInvalid:
    """Section 3.1.2: an endpoint answers 400 or drops them."""

    def test_badinv01_superfluous_separators(self):
        message = parse(
            invite("Via: SIP/2.0/UDP 192.0.2.9;;,;,,", 'Contact: "Desk" <sip:desk@hotel.example>;;;;', without="via")
        )
        assert message.all("via") == ("SIP/2.0/UDP 192.0.2.9;;", ";")
        assert message.sdp() == OFFER

    def test_clerr_length_larger_than_the_body(self):
        message = parse(invite("Content-Length: 9999", without="content-length"))
        assert (message.sdp(), message.truncated) == (OFFER, False)

    def test_clerr_on_a_stream_waits_for_the_rest(self):
        assert SipStream().feed(invite("Content-Length: 9999", without="content-length")) == []

    def test_ncl_negative_length(self):
        datagram = invite("Content-Length: -999", without="content-length")
        assert parse(datagram).sdp() == OFFER
        stream = SipStream()
        assert [message.method for message in stream.feed(datagram + build("BYE sip:a@b.example SIP/2.0"))] == ["BYE"]
        assert stream.malformed == 1

    def test_scalar02_overlarge_numbers_in_a_request(self):
        with pytest.raises(SipError, match="unreadable CSeq"):
            parse(build("REGISTER sip:hotel.example SIP/2.0", "CSeq: 36893488147419103232 REGISTER"))
        huge = "9" * 40
        message = options(f"Max-Forwards: {huge}", f"Expires: {huge}", f"Contact: <sip:a@b.example>;expires={huge}")
        assert message.first("expires") == huge

    def test_scalarlg_overlarge_numbers_in_a_response(self):
        with pytest.raises(SipError, match="unreadable CSeq"):
            parse(build("SIP/2.0 503 Service Unavailable", "CSeq: 9292394834772304023312 OPTIONS"))
        message = parse(build("SIP/2.0 503 Busy", "Retry-After: 949302838503028349304023988", 'Warning: 1812 x "y"'))
        assert message.first("retry-after") == "949302838503028349304023988"

    def test_quotbal_unterminated_quote(self):
        message = parse(invite('To: "Front Desk <sip:desk@hotel.example>'))
        assert (message.to.display, message.to.user) == ("Front Desk", "desk")

    def test_ltgtruri_brackets_around_the_request_uri(self):
        assert options(uri="<sip:desk@hotel.example>").request_uri == "sip:desk@hotel.example"

    def test_lwsruri_space_inside_the_request_uri(self):
        assert options(uri="sip:desk@hotel.example; lr").request_uri == "sip:desk@hotel.example; lr"

    def test_lwsstart_several_spaces_in_the_start_line(self):
        datagram = build("INVITE  sip:desk@hotel.example  SIP/2.0")
        assert looks_like_sip(datagram)
        message = parse(datagram)
        assert (message.method, message.request_uri) == ("INVITE", "sip:desk@hotel.example")

    def test_trws_space_after_the_start_line(self):
        datagram = build("OPTIONS sip:desk@hotel.example SIP/2.0  ")
        assert looks_like_sip(datagram)
        assert parse(datagram).request_uri == "sip:desk@hotel.example"

    def test_escruri_headers_in_the_request_uri(self):
        uri = "sip:desk@hotel.example?Route=%3Csip:edge.example%3E"
        assert options(uri=uri).request_uri == uri

    def test_baddate_other_zone_than_gmt(self):
        message = parse(invite("Date: Fri, 01 Jan 2010 16:00:00 JST"))
        assert message.first("date") == "Fri, 01 Jan 2010 16:00:00 JST"

    def test_regbadct_headers_in_an_unbracketed_contact(self):
        message = options("Contact: sip:desk@hotel.example?Route=%3Csip:edge.example%3E")
        assert message.all("contact") == ("sip:desk@hotel.example?Route=%3Csip:edge.example%3E",)

    def test_badaspec_spaces_in_the_address(self):
        message = options('To: "Desk, Front" < sip:desk@hotel.example >')
        assert (message.to.display, message.to.uri, message.to.host) == (
            "Desk, Front",
            "sip:desk@hotel.example",
            "hotel.example",
        )

    def test_baddn_display_name_that_needs_quotes(self):
        message = options("From: Desk, Front <sip:desk@hotel.example>;tag=9")
        assert (message.from_.display, message.from_.user, message.from_tag) == ("Desk, Front", "desk", "9")

    def test_badvers_other_version(self):
        datagram = build("OPTIONS sip:desk@hotel.example SIP/7.0")
        assert not looks_like_sip(datagram)
        with pytest.raises(SipError, match="no SIP start line"):
            parse(datagram)

    @pytest.mark.parametrize("method", ["OPTIONS", "UnheardOf"])
    def test_mismatch01_and_mismatch02_cseq_of_another_method(self, method):
        message = parse(build(f"{method} sip:desk@hotel.example SIP/2.0", "CSeq: 8 INVITE"))
        assert (message.method, message.cseq) == (method, 8)

    def test_bigcode_status_that_overflows(self):
        datagram = build("SIP/2.0 4294967301 is five again")
        assert not looks_like_sip(datagram)
        with pytest.raises(SipError, match="three digits"):
            parse(datagram)


class TestTransactionLayer:
    """Section 3.2."""

    def test_badbranch_branch_of_the_cookie_alone(self):
        message = options("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")
        assert message.all("via") == ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK",)


class TestApplicationLayer:
    """Section 3.3."""

    def test_insuf_needed_headers_missing(self):
        with pytest.raises(SipError, match="no Call-ID"):
            parse(invite(without="call-id from to"))
        message = parse(invite(without="from to"))
        assert (message.from_.uri, message.from_tag, message.to.uri) == ("", "", "")

    def test_unkscm_unknown_scheme_in_the_request_uri(self):
        assert options(uri="unheardOfScheme:what.ever").request_uri == "unheardOfScheme:what.ever"

    def test_novelsc_scheme_of_another_protocol(self):
        assert options(uri="soap.beep://192.0.2.99:3002").request_uri == "soap.beep://192.0.2.99:3002"

    def test_unksm2_unknown_schemes_in_addresses(self):
        message = options("To: isbn:2983792873", "From: <http://www.hotel.example>;tag=3", "Contact: <name:a,b>")
        assert (message.to.uri, message.to.user, message.from_.uri) == (
            "isbn:2983792873",
            "",
            "http://www.hotel.example",
        )
        assert (message.from_.host, message.from_tag, message.all("contact")) == ("", "3", ("<name:a,b>",))

    def test_bext01_unknown_extensions_required(self):
        message = options("Require: nothingYet, norThis", "Proxy-Require: nope,never")
        assert message.all("require") == ("nothingYet", "norThis")
        assert message.all("proxy-require") == ("nope", "never")

    def test_invut_unknown_content_type(self):
        message = parse(invite("Content-Type: application/unheardof", body=b"<x/>", without="content-type"))
        assert message.bodies() == (("application/unheardof", b"<x/>"),)
        assert message.sdp() is None

    def test_regaut01_unknown_authorization_scheme(self):
        message = options("Authorization: NobodyHasThis opaque=here, more=there")
        assert message.all("authorization") == ("NobodyHasThis opaque=here, more=there",)

    def test_multi01_headers_that_may_stand_once_stand_twice_the_first_counts(self):
        message = parse(
            invite(
                "Call-ID: first",
                "Call-ID: second",
                "CSeq: 5 INVITE",
                "CSeq: 59 INVITE",
                "From: a:1;tag=f",
                "f: b:2;tag=g",
            )
        )
        assert (message.call_id, message.cseq, message.from_tag) == ("first", 5, "f")

    def test_mcl01_two_lengths_that_differ(self):
        datagram = invite("Content-Length: 13", "Content-Length: 5", without="content-length")
        assert parse(datagram).body == OFFER
        stream = SipStream()
        assert stream.feed(datagram) == []
        assert stream.malformed == 1

    def test_bcast_response_to_another_address(self):
        message = parse(build("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1"))
        assert (message.status, message.all("via")) == (200, ("SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1",))

    def test_zeromf_no_hops_left(self):
        assert options("Max-Forwards: 0").first("max-forwards") == "0"

    def test_cparam01_and_cparam02_unknown_contact_parameters(self):
        assert options("Contact: sip:+81312345678@gw.example;novel").all("contact") == (
            "sip:+81312345678@gw.example;novel",
        )
        assert options("Contact: <sip:+81312345678@gw.example;novel>").all("contact") == (
            "<sip:+81312345678@gw.example;novel>",
        )

    def test_regescrt_headers_in_a_bracketed_contact(self):
        contact = "<sip:desk@hotel.example?Route=%3Csip:edge.example%3E>"
        assert options(f"Contact: {contact}").all("contact") == (contact,)

    def test_sdp01_a_description_that_the_sender_does_not_accept_in_return(self):
        message = parse(invite("Accept: text/nothing-known"))
        assert message.all("accept") == ("text/nothing-known",)
        assert sdp.parse(message.sdp() or b"").media[0].port == 40000

    def test_inv2543_request_of_the_older_standard(self):
        message = parse(
            b"INVITE sip:desk@hotel.example SIP/2.0\r\nVia: SIP/2.0/UDP gw.example\r\nFrom: <sip:gw@gw.example>\r\n"
            b"To: <sip:desk@hotel.example>\r\nCall-ID: 2543@gw.example\r\nCSeq: 1 INVITE\r\n"
            b"Content-Type: application/sdp\r\n\r\n" + OFFER
        )
        assert (message.from_tag, message.to_tag, message.sdp()) == ("", "", OFFER)
