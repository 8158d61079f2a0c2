"""Probes against real servers on this machine's loopback, and against what is not there."""

import contextlib
import errno
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.message
import dns.rcode
import pytest
import trustme

from appliance import cli
from appliance.condition import observed
from appliance.diagnosis.evidence import Cause, Role, State, Step
from appliance.diagnosis.probes import disk, echo, machine, names, neighbour, options, ports, services, timekeeping
from appliance.diagnosis.probes.timekeeping import ClockWatch
from appliance.diagnosis.probes.wayout import WayOut
from appliance.diagnosis.settings import CarrierEndpoint, Transport
from appliance.telemetry.settings import MqttSettings
from capture.bootline import ClockReading
from capture.discipline import Discipline
from storage.archive import Archive
from storage.disk import Disk
from tests.capture.private_network import in_private_network, ip
from uploader import status as upload_status
from uploader.status import TargetStatus, UploadStatus

WAY = WayOut(interface="", gateway="", networks=())
HERE = "127.0.0.1"


@contextmanager
def datagrams(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A server on a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((HERE, 0))

        def serve() -> None:
            while True:
                request, sender = opened.recvfrom(4096)
                if request == b"end":
                    return
                if (told := answer(request)) is not None:
                    opened.sendto(told, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield opened.getsockname()[1]
        finally:
            opened.sendto(b"end", opened.getsockname())
            thread.join(5)


@contextmanager
def connections(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on a TCP port, for one connection."""
    with socket.create_server((HERE, 0)) as listening:

        def accept() -> None:
            opened, _ = listening.accept()
            with opened:
                serve(opened)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)


def unused() -> int:
    with socket.create_server((HERE, 0)) as opened:
        return int(opened.getsockname()[1])


def sip_answer(request: bytes, status: str = "405 Method Not Allowed") -> bytes:
    assert request.startswith(b"OPTIONS sip:")
    assert b"Max-Forwards: 70\r\n" in request
    kept = [line for line in request.split(b"\r\n") if line.startswith((b"Via", b"From", b"To", b"Call-ID", b"CSeq"))]
    return b"\r\n".join([f"SIP/2.0 {status}".encode(), *kept, b"Content-Length: 0", b"", b""])


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "404 Not Found", "405 Method Not Allowed"])
def test_any_answer_to_options_proves_that_the_endpoint_is_reached(status):
    with datagrams(lambda request: sip_answer(request, status)) as port:
        check = options.ask(CarrierEndpoint(address=HERE, port=port), WAY)
    assert check.state is State.OK
    assert check.figures[0].value == int(status[:3])
    assert check.target == f"{HERE}:{port}/udp"


def test_the_first_request_may_be_lost():
    requests: list[bytes] = []

    def second_time(request: bytes) -> bytes | None:
        requests.append(request)
        return sip_answer(request) if len(requests) > 1 else None

    with datagrams(second_time) as port:
        assert options.ask(CarrierEndpoint(address=HERE, port=port), WAY).state is State.OK
    assert requests[0] == requests[1]


def test_an_endpoint_that_refuses():
    check = options.ask(CarrierEndpoint(address=HERE, port=unused(), transport=Transport.TCP), WAY)
    assert (check.state, check.cause) == (State.NG, Cause.REFUSED)


def test_options_over_tcp():
    def serve(opened: socket.socket) -> None:
        answer = sip_answer(opened.recv(4096))
        opened.sendall(answer[:20])
        opened.sendall(answer[20:])

    with connections(serve) as port:
        assert options.ask(CarrierEndpoint(address=HERE, port=port, transport=Transport.TCP), WAY).state is State.OK


def tls_server(authority: trustme.CA, *, expired: bool = False) -> ssl.SSLContext:
    past = datetime.now(UTC) - timedelta(days=1)
    made = authority.issue_cert("localhost", HERE, not_after=past if expired else None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.configure_cert(context)
    return context


@pytest.mark.parametrize(("expired", "doubt"), [(False, Cause.TLS_REFUSED), (True, Cause.TLS_EXPIRED)])
def test_options_over_tls_reach_an_endpoint_that_nobody_here_vouches_for(expired, doubt):
    context = tls_server(trustme.CA(), expired=expired)
    with socket.create_server((HERE, 0)) as listening:

        def serve() -> None:
            for _ in range(2):  # with and without verification
                opened, _ = listening.accept()
                with opened, contextlib.suppress(OSError), context.wrap_socket(opened, server_side=True) as secured:
                    secured.sendall(sip_answer(secured.recv(4096)))

        thread = threading.Thread(target=serve)
        thread.start()
        port = int(listening.getsockname()[1])
        check = options.ask(CarrierEndpoint(address=HERE, port=port, transport=Transport.TLS), WAY)
        thread.join(5)
    assert check.state is State.OK
    assert check.cause in (doubt, Cause.TLS_REFUSED)


@pytest.mark.parametrize(("expired", "expected"), [(False, State.OK), (True, State.NG)])
def test_a_broker_over_tls(expired, expected, tmp_path):
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = tls_server(authority, expired=expired)

    def serve(opened: socket.socket) -> None:
        try:
            context.wrap_socket(opened, server_side=True).close()
        except OSError:
            return

    with connections(serve) as port:
        check = services.broker(MqttSettings(host="localhost", port=port, ca_file=str(ca_file)), WAY)
    assert check.state is expected
    assert check.cause is (Cause.TLS_EXPIRED if expired else Cause.NONE)


def test_a_broker_whose_certificate_nobody_vouches_for(tmp_path):
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    context = tls_server(trustme.CA())

    def serve(opened: socket.socket) -> None:
        try:
            context.wrap_socket(opened, server_side=True).close()
        except OSError:
            return

    with connections(serve) as port:
        check = services.broker(MqttSettings(host="localhost", port=port, ca_file=str(ca_file)), WAY)
    assert (check.state, check.cause) == (State.NG, Cause.TLS_REFUSED)


def test_a_broker_that_is_away_or_not_configured():
    check = services.broker(MqttSettings(host=HERE, port=unused(), tls=False), WAY)
    assert (check.state, check.cause) == (State.NG, Cause.REFUSED)
    assert services.broker(MqttSettings(), WAY).state is State.NOT_OBSERVABLE
    check = services.broker(MqttSettings(host="broker.invalid"), WAY)
    assert (check.state, check.cause) == (State.NG, Cause.NAME_UNKNOWN)


@pytest.mark.parametrize(
    ("days", "state", "cause"),
    [(-1, State.NG, Cause.EXPIRED), (10, State.OK, Cause.EXPIRES_SOON), (90, State.OK, Cause.NONE)],
)
def test_own_certificates(days, state, cause, tmp_path):
    authority = trustme.CA()
    made = authority.issue_cert("box.example", not_after=datetime.now(UTC) + timedelta(days=days, minutes=5))
    file = tmp_path / "box.pem"
    made.cert_chain_pems[0].write_to_path(file)
    [check] = services.own_certificates([str(file), ""])
    assert (check.step, check.state, check.cause) == (Step.CERTIFICATES, state, cause)


@pytest.mark.parametrize(
    ("changes", "state", "cause"),
    [
        ({}, State.OK, Cause.NONE),
        ({"failures": 3, "error": "refused"}, State.NG, Cause.UNREACHABLE),
        ({"overdue": True}, State.NG, Cause.OVERDUE),
        ({"success_ns": 0}, State.NOT_OBSERVABLE, Cause.NO_TRAFFIC),
    ],
)
def test_delivery_targets_as_the_uploader_sees_them(changes, state, cause, tmp_path):
    now = time.time_ns()
    target = TargetStatus(
        name="nas",
        waiting=0,
        oldest_s=0,
        oldest_ns=None,
        overdue=False,
        given_up=0,
        failures=0,
        error="",
        error_ns=0,
        success_ns=now,
        delivered=1,
        delivered_bytes=1,
    )
    status = UploadStatus(at_ns=now, trouble="", targets=(replace(target, **changes),))
    observed.write(tmp_path, upload_status.NAME, status)
    [check] = services.targets(tmp_path, ["nas"])
    assert (check.step, check.state, check.cause) == (Step.UPLOAD, state, cause)
    assert services.targets(tmp_path / "none", ["nas"])[0].state is State.UNKNOWN
    assert services.targets(tmp_path, [])[0].state is State.NOT_OBSERVABLE


def test_own_certificates_that_are_missing():
    assert services.own_certificates(["/nowhere.pem"])[0].cause is Cause.UNREADABLE
    assert services.own_certificates([])[0].state is State.NOT_OBSERVABLE


@pytest.mark.parametrize(
    ("rcode", "name", "state", "cause"),
    [
        (dns.rcode.NOERROR, "rec.example", State.OK, Cause.NONE),
        (dns.rcode.REFUSED, "", State.OK, Cause.NONE),
        (dns.rcode.NXDOMAIN, "rec.example", State.NG, Cause.NAME_UNKNOWN),
    ],
)
def test_name_servers(rcode, name, state, cause):
    def answer(request: bytes) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(request))
        response.set_rcode(rcode)
        return response.to_wire()

    with datagrams(answer) as port:
        check = names.ask(HERE, name, WAY, port)
    assert (check.state, check.cause) == (state, cause)


def test_a_name_server_that_is_not_there():
    check = names.ask(HERE, "", WAY, unused())
    assert check.state is State.NG


def test_a_time_server():
    def answer(_request: bytes) -> bytes:
        now = time.time() + 2_208_988_800 + 3.0
        stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
        return b"\x24\x01" + bytes(30) + stamp + stamp

    with datagrams(answer) as port:
        figure = timekeeping.ask_server(HERE, WAY, port)
    assert figure is not None
    assert figure.value == pytest.approx(3000, abs=400)


def test_the_clock_is_stepped_lost_and_right_again():
    apart, boot, synchronised = 1000, 0, True
    watch = ClockWatch(
        read=lambda: ClockReading(real_ns=boot + apart, boot_ns=boot, boot_id="boot"),
        discipline=lambda: Discipline(synchronised=synchronised, offset_ms=1),
    )
    assert watch.look().state is State.OK
    boot, apart = boot + 1_000_000_000, apart + 2_000_000_000
    check = watch.look()
    assert (check.cause, check.figures[0].value) == (Cause.STEPPED, 2000.0)
    boot += 601_000_000_000
    assert watch.look().state is State.OK
    synchronised = False
    assert watch.look().cause is Cause.NOT_SYNCHRONISED


def test_the_loopback_answers_echo():
    answer = echo.ask(HERE, "", with_mtu=True)
    if answer is None:
        pytest.skip("neither datagram nor raw ICMP sockets are permitted here")
    assert answer.answered == 1
    assert answer.path_mtu == 1500


@in_private_network
def test_a_path_that_is_narrower_than_our_own_port():
    """Behind a router lies a tunnel: what does not fit and may not be fragmented does not come back."""
    names = [f"probe{os.getpid()}{end}" for end in ("router", "far")]
    router, far = names
    try:
        for name in names:
            ip(f"netns add {name}")
        ip(f"link add b0 type veth peer name r0 netns {router}")
        ip(f"-n {router} link add r1 mtu 1400 type veth peer name f0 mtu 1400 netns {far}")
        ip("address add 192.0.2.2/24 dev b0")
        ip("link set b0 up")
        for name, port, address in (
            (router, "r0", "192.0.2.1"),
            (router, "r1", "198.51.100.1"),
            (far, "f0", "198.51.100.2"),
        ):
            ip(f"-n {name} address add {address}/24 dev {port}")
            ip(f"-n {name} link set {port} up")
        ip(f"netns exec {router} sysctl -qw net.ipv4.ip_forward=1")
        ip("route add default via 192.0.2.1")
        ip(f"-n {far} route add default via 198.51.100.1")
        answer = echo.ask("198.51.100.2", "b0", with_mtu=True)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)
    assert answer is not None
    assert (answer.answered, answer.path_mtu) == (1, 1400)


def test_without_a_way_out_the_gateway_is_our_own_trouble():
    assert neighbour.look_for(Step.GATEWAY, "192.0.2.1", WAY).cause is Cause.NO_ROUTE


def test_links():
    assert ports.management_link("").cause is Cause.NO_ROUTE
    assert ports.management_link("nosuch0").cause is Cause.INTERFACE_MISSING
    assert ports.management_link("lo").state is State.OK
    missing = ports.span_exists("nosuch0")
    assert missing is not None
    assert ports.span_exists("lo") is None


def test_what_the_kernel_tells_of_a_port(tmp_path):
    """The tree of sysfs-class-net: a cable that is bad counts frames with a wrong checksum, and out of alignment."""

    def put(**texts: str) -> None:
        for name, text in texts.items():
            file = tmp_path / "span0" / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    put(carrier="1\n", speed="100\n", duplex="half\n")
    put(statistics__rx_packets="1000\n", statistics__rx_bytes="214000\n", statistics__rx_crc_errors="7\n")
    put(statistics__rx_frame_errors="1\n", statistics__tx_packets="0\n")
    sampler = ports.PortSampler(name="span0", role=Role.SPAN, net=tmp_path)
    sampler.sample()
    first = sampler.port()
    assert (first.link_up, first.speed_mbps, first.full_duplex) == (True, 100, False)
    assert (first.received, first.crc_errors) == (None, None)  # nothing to compare with
    put(statistics__rx_packets="1600\n", statistics__rx_crc_errors="10\n", statistics__rx_frame_errors="3\n")
    time.sleep(ports.LEAST_S)
    sampler.sample()
    second = sampler.port()
    assert (second.received, second.crc_errors, second.alignment_errors, second.sent) == (600, 3, 2, 0)
    put(duplex="full\n", speed="-1\n")
    assert (sampler.port().full_duplex, sampler.port().speed_mbps) == (True, None)
    put(duplex="unknown\n", carrier="0\n")
    down = sampler.port()
    assert (down.link_up, down.full_duplex) == (False, None)
    (tmp_path / "span0" / "statistics" / "rx_crc_errors").unlink()  # a driver that counts none
    time.sleep(ports.LEAST_S)
    sampler.sample()
    assert sampler.port().crc_errors == 0


def test_sensors_that_have_nothing_to_say_are_passed_over(tmp_path):
    (tmp_path / "thermal_zone0").mkdir()
    (tmp_path / "thermal_zone0" / "temp").mkdir()  # as one that is off refuses to be read
    (tmp_path / "thermal_zone1").mkdir()
    (tmp_path / "thermal_zone1" / "temp").write_text("-5000\n")
    assert machine.temperature(tmp_path).figures[0].value == -5.0


def test_a_machine_that_tells(tmp_path):
    def put(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    put("thermal_zone0/temp", "45000\n")
    assert machine.temperature(tmp_path).figures[0].value == 45.0
    put("thermal_zone1/temp", "95000\n")
    assert machine.temperature(tmp_path).cause is Cause.HOT
    put("hwmon0/in0_lcrit_alarm", "0\n")
    assert machine.power(tmp_path).state is State.OK
    put("hwmon0/in0_lcrit_alarm", "1\n")
    assert machine.power(tmp_path).cause is Cause.UNDER_VOLTAGE
    put("meminfo", "MemTotal: 1000000 kB\nMemAvailable: 20000 kB\n")
    assert machine.memory(tmp_path / "meminfo").cause is Cause.LOW


def test_a_machine_that_tells_nothing(tmp_path):
    assert machine.temperature(tmp_path).state is State.NOT_OBSERVABLE
    assert machine.power(tmp_path).state is State.NOT_OBSERVABLE
    assert machine.memory(tmp_path / "none").state is State.UNKNOWN


def test_what_is_written_comes_back(tmp_path):
    archive = Archive(tmp_path / "archive")
    assert disk.write(archive.spool).state is State.OK
    assert list(archive.spool.iterdir()) == []
    assert disk.room(archive, 0, "").state is State.OK
    assert disk.room(archive, 1 << 62, "").cause is Cause.FULL
    assert disk.room(archive, 0, "1234-abcd").cause is Cause.NOT_MOUNTED


class FullDisk(Disk):
    def write(self, _descriptor: int, _data: bytes | memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ForgetfulDisk(Disk):
    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        return super().write(descriptor, bytes(len(data)))


@pytest.mark.parametrize(("broken", "cause"), [(FullDisk(), Cause.FULL), (ForgetfulDisk(), Cause.DIFFERS)])
def test_a_disk_that_keeps_nothing(broken, cause, tmp_path):
    archive = Archive(tmp_path / "archive")
    check = disk.write(archive.spool, broken)
    assert (check.state, check.cause) == (State.NG, cause)


def test_the_command_tells_that_nothing_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    archive, config = tmp_path / "archive", tmp_path / "rokubox.toml"
    archive.mkdir()
    config.write_text('[probe]\nnot_observable = ["clock", "smart", "gateway", "dns"]\n')
    arguments = ["selftest", "--config", str(config), "--archive", str(archive), "--interface", "lo"]
    assert cli.main(arguments) == 22
    told = capsys.readouterr().out
    assert "録音が動作していません / nothing is being recorded" in told
    assert cli.main([*arguments, "--json"]) == 22
    document = json.loads(capsys.readouterr().out)
    assert document["domains"] == ["appliance"]
    assert document["findings"][0]["row"] == "recorder_stopped"
    assert {"ja", "en"} == set(document["findings"][0]["next_action"])
    assert [rung["step"] for rung in document["ladder"]] == [step.value for step in Step]
    assert not any(archive.joinpath("spool").iterdir())
