"""The corpus of real captures beside the repository: what is in it, and what every stream must sound like.

The captures belong to others and are never copied; where they are absent the tests skip and say so. The reference
samples are only worked out to say where a stream that failed begins to differ: the proof is the hash in `truth.csv`.
"""

import csv
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.archive_reading import Key, Samples
from tests.traffic import g711

CORPUS = Path(__file__).resolve().parents[1].parent / "shared" / "corpus"
ABSENT = f"the corpus of real captures is not at {Path('..') / 'shared' / 'corpus'}"
CAPTURES = sorted(path.name for path in CORPUS.glob("*.pcap*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthStream:
    """One row of `truth.csv` or `truth_srtp_decrypted.csv`."""

    file: str
    key: Key
    codec: str
    payload_type: int
    check: str
    """`yes` (identical), `concat-only` (identical without fill), `no` (no hash), or `srtp`."""
    pcm_sha256: str
    pcm_samples: int
    lost: int
    tshark_lost: int
    duplicates: int
    all_packets: int
    """Packets of every payload type, duplicates included."""

    def __str__(self) -> str:
        return f"{self.file}-{self.key.ssrc}-{self.key.source}-{self.key.destination}"


def truth() -> tuple[TruthStream, ...]:
    """Every G.711 stream of the corpus; empty where the corpus is absent."""
    return (*_rows("truth.csv"), *_rows("truth_srtp_decrypted.csv"))


def frames_of(capture: str) -> int:
    """How many frames `capture` holds."""
    with (CORPUS / "manifest.csv").open(newline="") as manifest:
        return next(int(row["packets"]) for row in csv.DictReader(manifest) if row["name"] == capture)


def reference(stream: TruthStream) -> Samples | None:
    """Decode the stream with tshark's payloads and the tests' own G.711; None without tshark and for SRTP."""
    tshark = shutil.which("tshark")
    if tshark is None or stream.check == "srtp":
        return None
    ports = [end.rpartition(":")[2] for end in (stream.key.source, stream.key.destination)]
    wanted = f"rtp.ssrc=={stream.key.ssrc} && rtp.p_type=={stream.payload_type}"
    wanted += f" && udp.srcport=={ports[0]} && udp.dstport=={ports[1]} && !icmp"
    for end, field in ((stream.key.source, "ip.src"), (stream.key.destination, "ip.dst")):
        wanted += f" && {field}=={end.rpartition(':')[0]}"
    command = [tshark, "-n", "-r", str(CORPUS / stream.file), "--enable-heuristic", "rtp_udp", "-Y", wanted]
    command += ["-T", "fields", "-e", "rtp.seq", "-e", "rtp.payload"]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = [line.split("\t") for line in printed.splitlines()]
    return _decoded([(int(number), bytes.fromhex(payload)) for number, payload in rows if payload], stream.codec)


def _decoded(packets: list[tuple[int, bytes]], codec: str) -> Samples | None:
    if not packets:
        return None
    extended, highest = {}, packets[0][0]
    for number, payload in packets:
        position = highest + ((number - highest + 0x8000) & 0xFFFF) - 0x8000
        extended[position] = payload
        highest = max(highest, position)
    codes = b"".join(extended[position] for position in sorted(extended))
    return g711.decode(np.frombuffer(codes, dtype=np.uint8), codec)


def _rows(name: str) -> Iterator[TruthStream]:
    if not (CORPUS / name).exists():
        return
    with (CORPUS / name).open(newline="") as table:
        for row in csv.DictReader(table):
            yield TruthStream(
                file=row["file"],
                key=Key(row["ssrc"], row["src"], row["dst"]),
                codec=row["codec"],
                payload_type=int(row["pt"]),
                check=row.get("unambiguous", "srtp"),
                pcm_sha256=row["pcm_sha256"],
                pcm_samples=int(row["pcm_samples"] or 0),
                lost=int(row.get("lost", 0)),
                tshark_lost=int(row.get("tshark_lost", 0)),
                duplicates=int(row.get("duplicates", 0)),
                all_packets=int(row.get("all_packets", row["packets"])),
            )
