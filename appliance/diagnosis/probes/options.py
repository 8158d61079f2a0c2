"""SIP OPTIONS to an endpoint, over UDP, TCP or TLS (RFC 3261 section 11): any answer proves that it is reached.

401, 404 or 405 are as good as 200. One request a probe, repeated as timer E says; nothing else is ever asked.
"""

import re
import secrets
import socket
import ssl
import time

from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step
from appliance.diagnosis.probes import causes, echo, sockets
from appliance.diagnosis.probes.wayout import WayOut
from appliance.diagnosis.settings import CarrierEndpoint, Transport
from appliance.version import software

REPEATS_S = (0.0, 0.5, 1.5, 3.5)
"""When it is sent over UDP, counted from the first time."""
WAIT_S = 5.0
_STATUS = re.compile(rb"SIP/2\.0[ \t]+([1-6][0-9]{2})(?=[ \t\r\n])")
_MAX_BYTES = 65_535


def ask(endpoint: CarrierEndpoint, way: WayOut) -> Check:
    """Ask an endpoint; with echo and path MTU as far as they are answered."""
    began = time.monotonic()
    doubt = Cause.NONE
    try:
        if endpoint.transport is Transport.UDP:
            status, address = _by_udp(endpoint, way)
        elif endpoint.transport is Transport.TCP:
            status, address = _by_stream(endpoint, way, None)
        else:
            status, address, doubt = _by_tls(endpoint, way)
    except OSError as error:
        cause = causes.of(error)
        # A station that refuses is there: what is not is the service, which is theirs all the same.
        return _check(endpoint, way, State.NG, cause=cause)
    if status is None:
        return _check(endpoint, way, State.NG, cause=Cause.TIMEOUT, figures=_echoed(address, way))
    figures = (
        Figure(name="sip_status", value=status),
        Figure(name="round_trip", value=round((time.monotonic() - began) * 1000, 1), unit="ms"),
        *_echoed(address, way),
    )
    return _check(endpoint, way, State.OK, cause=doubt, figures=figures)


def _check(
    endpoint: CarrierEndpoint, way: WayOut, state: State, *, cause: Cause = Cause.NONE, figures: tuple[Figure, ...] = ()
) -> Check:
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    target = f"{host}:{endpoint.port}/{endpoint.transport}"
    on_link = way.is_on_link(endpoint.address)
    return Check(step=Step.CARRIER, state=state, cause=cause, target=target, is_on_link=on_link, figures=figures)


def _echoed(address: str, way: WayOut) -> tuple[Figure, ...]:
    try:
        answer = echo.ask(address, way.interface, with_mtu=True)
    except OSError:
        return ()
    if answer is None:
        return ()
    figures = [Figure(name="echo_answers", value=answer.answered, of=answer.sent)]
    if answer.path_mtu is not None:
        figures.append(Figure(name="path_mtu", value=answer.path_mtu, unit="bytes"))
    return tuple(figures)


def _by_udp(endpoint: CarrierEndpoint, way: WayOut) -> tuple[int | None, str]:
    family, address = sockets.resolve(endpoint.address, endpoint.port, socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        sockets.bind_to(opened, way.interface, address[0])
        opened.connect(address)
        request = _request(endpoint, opened)
        began = time.monotonic()
        left = list(REPEATS_S)
        while (elapsed := time.monotonic() - began) < WAIT_S:
            if left and elapsed >= left[0]:
                opened.send(request)
                left.pop(0)
            opened.settimeout(max((left[0] if left else WAIT_S) - elapsed, 0.01))
            try:
                found = _STATUS.match(opened.recv(_MAX_BYTES))
            except TimeoutError:
                continue
            if found:
                return int(found[1]), address[0]
    return None, address[0]


def _by_tls(endpoint: CarrierEndpoint, way: WayOut) -> tuple[int | None, str, Cause]:
    """Over TLS. A certificate that nobody here vouches for is told of, and yet the endpoint is reached: nothing that is
    asked is a secret."""
    context = ssl.create_default_context()
    try:
        return (*_by_stream(endpoint, way, context), Cause.NONE)
    except ssl.SSLCertVerificationError as error:
        doubt = causes.of(error)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return (*_by_stream(endpoint, way, context), doubt)


def _by_stream(endpoint: CarrierEndpoint, way: WayOut, context: ssl.SSLContext | None) -> tuple[int | None, str]:
    opened, address = sockets.connect(endpoint.address, endpoint.port, way.interface, WAIT_S)
    with opened:
        if context is None:
            return _exchange(opened, endpoint), address
        name = endpoint.server_name or endpoint.address
        with context.wrap_socket(opened, server_hostname=name) as secured:
            return _exchange(secured, endpoint), address


def _exchange(opened: socket.socket, endpoint: CarrierEndpoint) -> int | None:
    opened.sendall(_request(endpoint, opened))
    answer, until = b"", time.monotonic() + WAIT_S
    while len(answer) < _MAX_BYTES and (left_s := until - time.monotonic()) > 0:
        opened.settimeout(left_s)
        try:
            more = opened.recv(4096)
        except TimeoutError:
            break
        answer += more
        if found := _STATUS.match(answer.lstrip(b"\r\n")):
            return int(found[1])
        if not more:
            break
    return None


def _request(endpoint: CarrierEndpoint, opened: socket.socket) -> bytes:
    host, port = opened.getsockname()[:2]
    here = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    there = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    uri = f"sip:{there}:{endpoint.port}"
    token = secrets.token_hex(8)
    lines = (
        f"OPTIONS {uri} SIP/2.0",
        f"Via: SIP/2.0/{endpoint.transport.upper()} {here};branch=z9hG4bK{token};rport",
        "Max-Forwards: 70",
        f"From: <sip:selftest@{here}>;tag={token[:8]}",
        f"To: <{uri}>",
        f"Call-ID: {token}@selftest.invalid",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:selftest@{here}>",
        f"User-Agent: {software()}",
        "Accept: application/sdp",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()
