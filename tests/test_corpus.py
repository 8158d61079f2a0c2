"""The real captures: every stream sample-identical to its truth, every file accounted for, every import repeatable.

The tally is printed at the end of the run.
"""

import contextlib
import io
import json
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from appliance.auditing import archiveaccount
from appliance.auditing.audit import unexplained
from appliance.auditing.tsharkaccount import hold_against
from appliance.cli import main
from storage.archive import Archive
from tests.archive_reading import Key, Piece, Samples, call_records, evidence_digest, pcm_sha256, pieces, stored_parts
from tests.corpus_truth import ABSENT, CAPTURES, CORPUS, TruthStream, frames_of, reference, truth

pytestmark = pytest.mark.skipif(not CAPTURES, reason=ABSENT)

TIME_LIMIT_S = 60
INPUT_DAMAGED = 3
DAMAGED = frozenset({"jnetpcap-truncated-file.pcap"})
"""Captures that end in the middle of a packet. What is there of it is read; manifest and tshark leave it out."""
WITHOUT_CALLS = frozenset(
    {"ndpi-vlan-gre-ppp-sip.pcapng", "sipp-dtmf-2833-1.pcap", "zeek-sip-junk.pcap", "zeek-sip-long-paths.pcap"}
)
"""Captures with neither an INVITE nor speech: nothing to make a call record of."""
SCHEMAS = Path(__file__).parents[1] / "storage" / "schema"
HASHED = [stream for stream in truth() if stream.check != "no"]
KINDS = {"yes": "unambiguous", "concat-only": "concat-only", "srtp": "srtp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One run of the command."""

    archive: Path
    exit_code: int
    printed: str
    streams: dict[Key, list[Piece]]


class Tally:
    """Counts what was checked and what agreed, and says so at the end of the run."""

    def __init__(self) -> None:
        self.checked: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()

    @contextlib.contextmanager
    def of(self, kind: str) -> Iterator[None]:
        self.checked[kind] += 1
        yield
        self.agreed[kind] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        found = ", ".join(f"{kind} {self.agreed[kind]}/{number}" for kind, number in self.checked.items())
        terminalreporter.write_line(f"corpus of real captures: {found}")


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Tally:
    counts = Tally()
    request.config.pluginmanager.register(counts)
    return counts


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Imported]:
    """Import a capture into an archive of its own, once for all tests."""
    done: dict[str, Imported] = {}

    def once(name: str) -> Imported:
        if name not in done:
            done[name] = run_import(name, tmp_path_factory.mktemp("archive"))
        return done[name]

    return once


def run_import(name: str, archive: Path, form: str = "zip") -> Imported:
    printed = io.StringIO()
    arguments = ["import", str(CORPUS / name), "--output", str(archive), "--form", form, "--record", "all"]
    with time_limit(name), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        exit_code = main(arguments)
    return Imported(archive=archive, exit_code=exit_code, printed=printed.getvalue(), streams=pieces(archive))


@contextlib.contextmanager
def time_limit(name: str) -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        pytest.fail(f"{name}: the import took longer than {TIME_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(TIME_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", CAPTURES)
def test_file_is_accounted_for(name: str, imported: Callable[[str], Imported], tally: Tally) -> None:
    with tally.of("files"):
        run = imported(name)
        assert run.exit_code == (INPUT_DAMAGED if name in DAMAGED else 0), run.printed
        frames = frames_of(name) + (name in DAMAGED)
        told = re.search(rf"(?<![\d,])({frames}|{frames:,})(?![\d,])", run.printed)
        assert told, f"the summary does not tell of {frames} packets:\n{run.printed}"
        assert call_records(run.archive) or name in WITHOUT_CALLS, run.printed


@pytest.mark.parametrize("stream", HASHED, ids=str)
def test_stream_is_identical(stream: TruthStream, imported: Callable[[str], Imported], tally: Tally) -> None:
    with tally.of(KINDS[stream.check]):
        found = imported(stream.file).streams.get(stream.key)
        assert found, f"{stream.file}: {stream.key} is in no recording"
        if stream.check == "concat-only":
            samples = np.concatenate([piece.spoken for piece in found])
        else:
            samples = np.concatenate([piece.samples for piece in found])
        if (len(samples), pcm_sha256(samples)) != (stream.pcm_samples, stream.pcm_sha256):
            pytest.fail(difference(stream, samples, found), pytrace=False)
        assert all(piece.stream["decrypted"] == (stream.check == "srtp") for piece in found)


def difference(stream: TruthStream, samples: Samples, found: list[Piece]) -> str:
    """Say where a stream departs from its truth."""
    lines = [f"{stream.file}: {stream.key} ({stream.check})", f"{len(samples)} samples, {stream.pcm_samples} expected"]
    expected = reference(stream)
    if expected is not None:
        shared = min(len(samples), len(expected))
        wrong = np.flatnonzero(samples[:shared] != expected[:shared])
        at = int(wrong[0]) if len(wrong) else shared
        lines.append(f"first difference at sample {at}: {samples[at : at + 8]} instead of {expected[at : at + 8]}")
    for piece in found:
        figures = {name: piece.stream[name] for name in ("first_sample", "samples", "packets", "lost", "duplicates")}
        lines.append(f"in {piece.part}: {figures}, fill {piece.stream['fill'][:8]}")
    return "\n".join(lines)


@pytest.mark.parametrize("stream", [stream for stream in truth() if stream.check == "no"], ids=str)
def test_stream_without_a_hash_is_recorded_too(stream: TruthStream, imported: Callable[[str], Imported]) -> None:
    assert stream.key in imported(stream.file).streams


@pytest.mark.parametrize("name", CAPTURES)
def test_records_are_valid(name: str, imported: Callable[[str], Imported]) -> None:
    part, call = (validator(schema) for schema in ("part-1", "call-1"))
    archive = imported(name).archive
    parts = {stored.path.name: stored for stored in stored_parts(archive)}
    for stored in parts.values():
        part.validate(stored.record)
    records = call_records(archive)
    for record in records:
        call.validate(record)
    assert {entry["name"] for record in records for entry in record["parts"]} == parts.keys()


def validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.schema.json").read_bytes()))


@pytest.mark.parametrize("name", CAPTURES)
def test_importing_again_changes_nothing(name: str, imported: Callable[[str], Imported]) -> None:
    first = imported(name)
    before = evidence_digest(first.archive)
    assert run_import(name, first.archive).exit_code == first.exit_code
    assert evidence_digest(first.archive) == before


@pytest.mark.parametrize("name", CAPTURES)
def test_both_forms_hold_the_same_audio(name: str, imported: Callable[[str], Imported], tmp_path: Path) -> None:
    zipped = {stored.path.stem: stored.wav for stored in stored_parts(imported(name).archive)}
    run_import(name, tmp_path, form="wav")
    bare = {stored.path.stem: stored.wav for stored in stored_parts(tmp_path)}
    assert bare == zipped


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("name", CAPTURES)
def test_audit_leaves_nothing_unexplained(name: str, imported: Callable[[str], Imported], tally: Tally) -> None:
    with tally.of("audits explained"):
        ours = archiveaccount.read_account(Archive(imported(name).archive), packets=frames_of(name))
        _theirs, differences = hold_against(CORPUS / name, ours)
        assert not unexplained(differences)
