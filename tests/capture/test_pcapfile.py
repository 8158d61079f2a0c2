import csv
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from capture.errors import CaptureFileError
from capture.pcapfile import CaptureReader
from tests.capture.capturefiles import (
    EPOCH_S,
    Packet,
    block,
    enhanced,
    interface,
    obsolete,
    option,
    pcap,
    pcap_header,
    pcap_record,
    pcapng,
    read_all,
    section,
    simple,
)

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
BASE_NS = EPOCH_S * 10**9
TICKS = EPOCH_S * 10**6


@pytest.fixture
def write(tmp_path):
    def write_file(content: bytes) -> Path:
        path = tmp_path / "capture"
        path.write_bytes(content)
        return path

    return write_file


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "tick_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_classic_header_variants(write, order, magic, tick_ns):
    content = pcap_header(order, magic, link_type=0xF000_0071) + pcap_record(b"abc", 999_999, order=order, wire=2)
    packets, reader = read_all(write(content + pcap_record(b"", 5, order=order, wire=70)))
    assert packets == [
        Packet(b"abc", 3, BASE_NS + 999_999 * tick_ns, link_type=0x71),
        Packet(b"", 70, BASE_NS + 5 * tick_ns, link_type=0x71),
    ]
    assert (reader.truncated_records, reader.damage, reader.size_bytes) == (1, None, 24 + 16 + 3 + 16)
    assert reader.position_bytes == reader.size_bytes


def test_classic_with_extended_record_headers(write):
    records = b"".join(pcap_record(frame, 7)[:16] + bytes(8) + frame for frame in (b"first", b"second"))
    packets, _ = read_all(write(pcap_header(magic=0xA1B2CD34) + records))
    assert [packet.frame for packet in packets] == [b"first", b"second"]


def test_classic_times_and_lengths_at_their_limits(write):
    extreme = pcap_record(b"x", 0xFFFFFFFF, second=0xFFFFFFFF, wire=0xFFFFFFFF)
    packets, _ = read_all(write(pcap_header() + extreme))
    assert packets == [Packet(b"x", 0xFFFFFFFF, 0xFFFFFFFF * 10**9 + 0xFFFFFFFF * 1000)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_block_kinds(write, order):
    content = (
        section(order)
        + interface(order, snap_bytes=4)
        + simple(b"none", 90, order)
        + enhanced(b"abcde", TICKS + 1, order=order, wire=80)
        + block(5, bytes(12), order)
        + obsolete(b"old", TICKS + 2, order=order)
        + simple(b"snap", 90, order)
        + block(0xBAD, b"custom", order)
        + enhanced(b"lost", TICKS + 3, order=order, number=1)
    )
    packets, reader = read_all(write(content))
    assert packets == [
        Packet(b"none", 90, 0),
        Packet(b"abcde", 80, BASE_NS + 1000),
        Packet(b"old", 3, BASE_NS + 2000),
        Packet(b"snap", 90, BASE_NS + 2000),
    ]
    assert (reader.missing_time, reader.skipped_blocks, reader.truncated_records) == (2, 2, 3)


def test_pcapng_sections_have_their_own_order_and_interfaces(write):
    content = (
        section("<")
        + interface("<", 1, options=option(2, b"eth0") + option(0, b""))
        + interface("<", 101)
        + enhanced(b"a", TICKS, number=1)
        + section(">")
        + enhanced(b"early", TICKS, order=">")
        + interface(">", 113, 96, option(2, b"any\0", ">") + option(9, b"\x09", ">"))
        + enhanced(b"b", BASE_NS + 7, order=">")
    )
    packets, reader = read_all(write(content))
    assert packets == [Packet(b"a", 1, BASE_NS, 1, 101), Packet(b"b", 1, BASE_NS + 7, 2, 113)]
    assert [(i.name, i.link_type, i.snap_bytes) for i in reader.interfaces] == [
        ("eth0", 1, 0),
        ("", 101, 0),
        ("any", 113, 96),
    ]
    assert reader.skipped_blocks == 1


TIME_CASES = [
    (None, 0, TICKS + 1, BASE_NS + 1000),
    (0, 0, EPOCH_S, BASE_NS),
    (3, 0, EPOCH_S * 1000 + 1, BASE_NS + 10**6),
    (9, -EPOCH_S, BASE_NS + 5, 5),
    (9, 3600, 1, 3600 * 10**9 + 1),
    (12, 0, 1999, 1),
    (0x80 | 32, 0, (EPOCH_S << 32) + 3, BASE_NS),
    (0x80 | 20, 10, (EPOCH_S << 20) + 1, BASE_NS + 10 * 10**9 + 953),
    (0x80 | 63, 0, (1 << 64) - 1, 1_999_999_999),
    (0x80 | 127, 0, (1 << 64) - 1, 0),
    (127, 1, (1 << 64) - 1, 10**9),
    (0, 0, (1 << 64) - 1, (1 << 63) - 1),
    (9, 0, (1 << 64) - 1, (1 << 63) - 1),
    (9, -9_223_372_036, (1 << 63) + 5, (1 << 63) + 5 - 9_223_372_036 * 10**9),
    (6, -(1 << 63), 1, -(1 << 63)),
    (6, (1 << 63) - 1, 0, (1 << 63) - 1),
]


@pytest.mark.parametrize(("resolution", "offset_s", "ticks", "ts_ns"), TIME_CASES)
def test_pcapng_times_are_exact(write, resolution, offset_s, ticks, ts_ns):
    options = b"" if resolution is None else option(9, bytes([resolution]))
    options += option(14, struct.pack("<q", offset_s))
    packets, _ = read_all(write(section() + interface(options=options) + enhanced(b"x", ticks)))
    assert packets[0].ts_ns == ts_ns


def test_pcapng_clocks_of_several_interfaces_do_not_mix(write):
    content = section() + b"".join(
        interface(options=option(9, bytes([resolution or 6])) + option(14, struct.pack("<q", offset_s)))
        for resolution, offset_s, _, _ in TIME_CASES[1:]
    )
    content += b"".join(enhanced(b"x", case[2], number=number) for number, case in enumerate(TIME_CASES[1:]))
    packets, _ = read_all(write(content))
    expected = [case[3] if case[0] else packet.ts_ns for case, packet in zip(TIME_CASES[1:], packets, strict=True)]
    assert [packet.ts_ns for packet in packets] == expected


DAMAGED = [
    (pcap([b"ok"]) + struct.pack("<4I", 0, 0, 999_999_999, 60), "offset 42: record header says 999999999 bytes"),
    (
        pcap([b"ok"]) + struct.pack("<4I", 0, 0, 262_145, 60) + bytes(300_000),
        "offset 42: record header says 262145 bytes",
    ),
    (pcap([b"ok"]) + b"12345", "offset 42: file ends inside a record (11 bytes missing)"),
    (pcap([b"ok"]) + pcap_record(b"abcd")[:16], "offset 42: file ends inside a record (4 bytes missing)"),
    (pcapng([b"ok"]) + struct.pack("<3I", 6, 8, 8), "offset 84: block header says 8 bytes"),
    (pcapng([b"ok"]) + struct.pack("<3I", 6, 0, 0), "offset 84: block header says 0 bytes"),
    (pcapng([b"ok"]) + struct.pack("<4I", 9, 14, 0, 0), "offset 84: block header says 14 bytes"),
    (pcapng([b"ok"]) + block(6, bytes(16)), "offset 84: block header says 28 bytes"),
    (pcapng([b"ok"]) + block(3, b""), "offset 84: block header says 12 bytes"),
    (pcapng([b"ok"]) + struct.pack("<3I", 6, (256 << 20) + 4, 0), "offset 84: block header says 268435460 bytes"),
    (
        pcapng([b"ok"]) + block(7, bytes(8))[:-4] + b"\0\0\0\x02",
        "offset 84: block of 20 bytes ends with length 33554432",
    ),
    (pcapng([b"ok"]) + interface()[:-4] + bytes(4), "offset 84: block of 20 bytes ends with length 0"),
    (pcapng([b"ok"]) + block(1, b"1234"), "offset 84: block header says 16 bytes"),
    (pcapng([b"ok"]) + block(0x0A0D0D0A, bytes(16)), "offset 84: section header without byte-order magic"),
    (pcapng([b"ok"]) + section()[:12] + b"\2" + section()[13:], "offset 84: pcapng version 2.0 is not known"),
    (pcapng([b"ok"]) + section()[:20], "offset 84: file ends inside a record (8 bytes missing)"),
    (pcapng([b"ok"]) + b"\6\0", "offset 84: file ends inside a record (10 bytes missing)"),
]


@pytest.mark.parametrize(("content", "damage"), DAMAGED)
@pytest.mark.parametrize("batch_bytes", [4096, 1 << 20])
def test_damage_is_named_and_costs_nothing_before_it(write, content, damage, batch_bytes):
    packets, reader = read_all(write(content), batch_bytes)
    assert [packet.frame for packet in packets] == [b"ok"]
    assert reader.damage == damage


def test_what_is_there_of_a_cut_record_is_delivered(write):
    for content in (pcap([b"ok", b"abcdefgh"])[:-3], pcapng([b"ok", b"abcdefgh"])[:-7]):
        packets, reader = read_all(write(content))
        assert (packets[1].frame, packets[1].wire, reader.truncated_records) == (b"abcde", 8, 1)
        assert "file ends inside a record" in str(reader.damage)


def test_captured_is_clipped_to_the_block(write):
    lying = bytearray(enhanced(b"abcd", TICKS))
    struct.pack_into("<II", lying, 20, 4_000_000_000, 2)
    packets, reader = read_all(write(section() + interface() + bytes(lying) + enhanced(b"next", TICKS)))
    assert [(packet.frame, packet.wire) for packet in packets] == [(b"abcd", 4), (b"next", 4)]
    assert reader.damage is None


def test_more_interfaces_than_numbers(write):
    packets, reader = read_all(write(section() + interface() * 65537 + enhanced(b"x", 0)))
    assert packets == []
    assert reader.damage == f"offset {28 + 65536 * 20}: more than 65536 interfaces"


def test_more_sections_than_interfaces_can_be(write):
    _, reader = read_all(write(section() * 65537))
    assert reader.damage == f"offset {65536 * 28}: more than 65536 sections"


@pytest.mark.parametrize(
    "content", [b"", b"\xd4", b"RIFF" * 20, b"\n\r\r\n" + bytes(40), b"\x1f\x8b", b"\x1f\x8bxxxx" * 9, pcap([])[:23]]
)
def test_not_a_capture_file(write, content):
    path = write(content)
    with pytest.raises(CaptureFileError, match=r"^[^\n]*: (uncompressed )?offset \d+: [^\n]+$") as caught:
        CaptureReader(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_cannot_be_opened(tmp_path, name):
    with pytest.raises(CaptureFileError, match=r"^/[^\n]*: [A-Z][a-z ]+$"):
        CaptureReader(tmp_path / name)


def test_a_record_larger_than_the_batch(write):
    frames = [b"a" * 100, bytes(range(256)) * 800, b"b" * 60, bytes(200_000), b"c"]
    for content in (pcap(frames), pcapng(frames)):
        packets, reader = read_all(write(content), 4096)
        assert [packet.frame for packet in packets] == frames
        assert reader.damage is None


def corpus_rows() -> list[dict[str, str]]:
    if not CORPUS.exists():
        return []
    with (CORPUS / "manifest.csv").open(newline="") as rows:
        return list(csv.DictReader(rows))


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not there")
def test_every_corpus_file_has_the_packets_its_manifest_says():
    counted = {}
    for row in corpus_rows():
        packets, reader = read_all(CORPUS / row["name"])
        # What is there of the record that a file's end cuts is delivered too, and the manifest does not count it.
        counted[row["name"]] = len(packets) - (reader.damage is not None)
    assert counted == {row["name"]: int(row["packets"]) for row in corpus_rows()}


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not there")
def test_the_corpus_file_that_ends_inside_a_packet():
    _, reader = read_all(CORPUS / "jnetpcap-truncated-file.pcap")
    assert reader.damage == "offset 98218: file ends inside a record (60 bytes missing)"


def tshark_account(path: Path) -> list[tuple[int, ...]]:
    fields = ("frame.time_epoch", "frame.cap_len", "frame.len")
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *(word for field in fields for word in ("-e", field))]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = (line.split("\t") for line in output.splitlines())
    return [(int(time.replace(".", "")), int(captured), int(wire)) for time, captured, wire in rows]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not there")
@pytest.mark.parametrize(
    "name", ["ndpi-fuzzed-sip.pcap", "linphone-pcmu-no-jitter.pcap", "cisco-mgcp-fxs-inbound.pcapng", "isa-sip.pcapng"]
)
def test_times_and_lengths_agree_with_tshark(name):
    packets, _ = read_all(CORPUS / name)
    assert [(p.ts_ns, len(p.frame), p.wire) for p in packets] == tshark_account(CORPUS / name)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_generated_pcapng_agrees_with_tshark(write):
    clocks = [(6, 0), (9, 0), (3, 3600), (0x80 | 20, 0), (0x80 | 32, 0)]
    content = b""
    for order in "<>":
        content += section(order)
        for number, (resolution, offset_s) in enumerate(clocks):
            options = option(9, bytes([resolution]), order) + option(14, struct.pack(f"{order}q", offset_s), order)
            content += interface(order, options=options)
            units = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
            for extra in (1, 2, units - 1):
                content += enhanced(bytes(60 + number), EPOCH_S * units + extra, order=order, number=number, wire=99)
    path = write(content)
    packets, _ = read_all(path)
    assert [(p.ts_ns, len(p.frame), p.wire) for p in packets] == tshark_account(path)
