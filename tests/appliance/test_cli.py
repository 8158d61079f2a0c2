"""The command as a person or a script meets it: help, exit codes by class, one line a problem, nothing half done."""

import gzip
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest

from appliance import cli, failures
from appliance.errors import ApplianceError
from storage.archive import Archive
from storage.writer import ArchiveWriter
from tests.archive_reading import call_records, stored_parts, tree_digest
from tests.recorded_truth import part_differences
from tests.scenario import CALLEE, CALLER, call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import Frame, frames_of, write_pcap

ROKUBOX = Path(sys.executable).with_name("rokubox")
NOBODY = 65534
SCHEMA = Path(__file__).parents[2] / "storage" / "schema" / "call-1.schema.json"


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """One call of four seconds."""
    return frames_of(play(call(talk_s=4.0)).packets)


@pytest.fixture(scope="module")
def capture(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "call.pcap"
    write_pcap(path, frames)
    return path


@pytest.fixture(scope="module")
def archive(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imported") / "archive"
    assert cli.main(["import", str(capture), "--output", str(path)]) == failures.OK
    return path


def run(*arguments: str | Path, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run the installed command."""
    command = [str(ROKUBOX), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload]


def test_nothing_is_for_everybody(capture: Path, tmp_path: Path) -> None:
    """Whatever the umask of whoever starts it."""
    assert run("import", capture, "--output", tmp_path / "archive", umask=0).returncode == failures.OK
    made = list((tmp_path / "archive").rglob("*"))
    assert len(made) > 10
    assert [path for path in made if path.stat().st_mode & 0o027] == []


def refused_to_somebody(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """The same as a user to whom, unlike root, permissions apply."""
    if os.geteuid() != 0:
        return refused(capsys, *arguments)
    refused(capsys, "import", "/nonexistent", "--output", "/nonexistent")  # imports what that user may not read
    os.seteuid(NOBODY)
    try:
        return refused(capsys, *arguments)
    finally:
        os.seteuid(0)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Run a command that fails: its exit code and the one line it tells."""
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert printed.out == ""
    [line] = printed.err.splitlines()
    assert line.startswith("rokubox: ")
    return code, line.removeprefix("rokubox: ")


# --- help ---


@pytest.mark.parametrize("command", ["import", "calls", "audit"])
def test_help_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert f"\nexamples:\n  rokubox {command} " in printed
    assert "--config FILE" in printed


def test_help_lists_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    for command in ("import", "calls", "audit"):
        assert re.search(rf"^    {command} +\w", printed, re.MULTILINE)
        assert f"  rokubox {command} " in printed
    assert re.findall(r"\b([0-6]) (?:ok|internal|usage|input|output|permission|a needed)", printed) == list("0415263")


def test_examples_of_the_help_are_understood() -> None:
    """Every example parses: none shows an option that is not there."""
    told = cli.EPILOG + "".join(command.EPILOG for command in cli.COMMANDS)
    examples = re.findall(r"^  rokubox (.+?)(?:   .*| [|>].*)?$", told, re.MULTILINE)
    assert len(examples) >= 8
    for example in examples:
        assert cli.parser().parse_args(shlex.split(example)).run


def test_version() -> None:
    assert re.fullmatch(r"rokubox \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("listen",), "invalid choice: 'listen' (choose from 'import', 'record', "),
        (("import",), "the following arguments are required: FILE"),
        (("import", "x", "--form", "rar"), "--form: invalid choice: 'rar' (choose from 'zip', 'wav')"),
        (("import", "x", "--record", "some"), "--record: invalid choice: 'some' (choose from 'all', 'rules')"),
        (("calls", "--arch", "x"), "unrecognized arguments: --arch x"),
    ],
)
def test_usage(arguments: Sequence[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == failures.USAGE
    assert told in capsys.readouterr().err


# --- what is given ---


def test_no_archive_is_named(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = "no archive: give --archive DIR, or [storage] archive in --config FILE"
    assert refused(capsys, "import", capture) == (failures.USAGE, told)
    assert refused(capsys, "calls") == (failures.USAGE, told)


def test_the_archive_may_be_configured(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rokubox.toml").write_text(f'[storage]\narchive = "{tmp_path / "archive"}"\n')
    assert cli.main(["import", str(capture), "--config", str(tmp_path / "rokubox.toml")]) == failures.OK
    assert cli.main(["calls", "--config", str(tmp_path / "rokubox.toml")]) == failures.OK
    assert capsys.readouterr().out.endswith("\n1 call\n")


def test_rules_without_any(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = "--record rules: there are none; give them as [[enterprise]] in --config FILE"
    assert refused(capsys, "import", capture, "--output", tmp_path / "a", "--record", "rules") == (failures.USAGE, told)
    config = tmp_path / "no-lines.toml"
    config.write_text('[[enterprise]]\nid = "E1"\n')
    without_lines = ("--config", config, "--output", tmp_path / "a", "--record", "rules")
    assert refused(capsys, "import", capture, *without_lines) == (failures.USAGE, told)
    assert not (tmp_path / "a").exists()


def test_an_empty_text_names_no_directory(capsys: pytest.CaptureFixture[str], capture: Path) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["import", str(capture), "--output", ""])
    assert left.value.code == failures.USAGE
    assert "no directory is named by an empty text" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["import", "calls", "audit"])
def test_bad_configuration(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "rokubox.toml"
    file = [] if command == "calls" else ["x.pcap"]
    assert refused(capsys, command, *file, "--config", config) == (
        failures.USAGE,
        f"{config}: No such file or directory",
    )
    config.write_text("[site]\nzone = 1\n[recording]\nsegment_s = 1\n")
    assert cli.main([command, *file, "--config", str(config)]) == failures.USAGE
    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        f"{config}: site.zone: unknown key; known here: customer, site, serial, time_zone, changed_by, change_reason",
        f"{config}: recording.segment_s: expected int >= 30",
    ]


# --- input ---


@pytest.mark.parametrize("command", ["import", "audit"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file or directory"),
        (b"", "offset 0: the file is empty"),
        (b"RIFF....WAVEfmt ", "offset 0: not a pcap or pcapng file (no magic number of either)"),
        (b"\xd4\xc3\xb2\xa1\x02", "offset 0: file ends inside its header"),
        (gzip.compress(b"text"), "uncompressed offset 0: not a pcap or pcapng file (no magic number of either)"),
    ],
)
def test_no_capture_file(
    command: str, content: bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.pcap"
    if content is not None:
        file.write_bytes(content)
    output = ["--output", str(tmp_path / "archive")] if command == "import" else []
    assert refused(capsys, command, file, *output) == (failures.INPUT, f"{file}: {told}")
    assert not (tmp_path / "archive").exists()


def test_a_directory_is_no_capture_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "import", tmp_path, "--output", tmp_path / "archive")
    assert told == (failures.INPUT, f"{tmp_path}: Is a directory")


def test_one_bad_file_among_good_ones_stops_everything(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, "import", capture, tmp_path / "none", "--output", tmp_path / "archive")[0] == failures.INPUT
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_tail_does_not_cost_the_calls_before_it(
    packed: bool, frames: list[Frame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cut.pcap"
    later = Frame(frames[-1].ts_ns + 10_000_000_000, b"\0" * 400)
    write_pcap(file, [*frames, later])
    content = file.read_bytes()[:-100]
    file.write_bytes(gzip.compress(content) if packed else content)
    assert cli.main(["import", str(file), "--output", str(tmp_path / "archive")]) == failures.INPUT
    where = "uncompressed offset" if packed else "offset"
    printed = capsys.readouterr()
    assert f"{file}: {where} {len(content) - 316}: file ends inside a record (100 bytes missing)" in printed.out
    assert "(100 bytes missing); what lies before it was imported" in printed.err
    assert printed.err.count("\n") == 1
    [record] = call_records(tmp_path / "archive")
    assert (record["outcome"], len(record["parts"])) == ("recorded", 1)


def test_a_name_that_a_terminal_would_obey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"a\x1b[31m\nb\xff:a:[red].pcap")
    code, line = refused(capsys, "import", tmp_path / name, "--output", tmp_path / "archive")
    assert code == failures.INPUT
    assert line == f"{tmp_path}/a\ufffd[31m\ufffdb\ufffd:a:[red].pcap: No such file or directory"


# --- output ---


def test_the_output_is_a_file(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    told = refused(capsys, "import", capture, "--output", tmp_path / "file")
    assert told == (failures.OUTPUT, f"{tmp_path / 'file'} is not a directory")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_output_lies_under_a_file(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert refused(capsys, "import", capture, "--output", tmp_path / "file" / "archive") == (
        failures.OUTPUT,
        f"cannot make the directory {tmp_path / 'file'}: File exists",
    )


def test_the_disk_is_read_only(capture: Path, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with mounted(place, "ro"):
        done = run("import", capture, "--output", place / "archive")
    told = f"rokubox: cannot make the directory {place / 'archive'}: Read-only file system\n"
    assert (done.returncode, done.stdout, done.stderr) == (failures.OUTPUT, "", told)


def test_the_archive_is_locked(archive: Path, capture: Path) -> None:
    before = tree_digest(archive)
    with ArchiveWriter(Archive(archive)):
        done = run("import", capture, "--output", archive)
    assert (done.returncode, done.stdout) == (failures.OUTPUT, "")
    assert done.stderr == f"rokubox: another process (pid {os.getpid()}) is writing to this archive\n"
    assert tree_digest(archive).keys() == before.keys()


@pytest.fixture(params=["64k", "160k"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system without room for the journal, or without room for the part."""
    place = tmp_path / "disk"
    place.mkdir()
    with mounted(place, f"size={request.param}"):
        yield place


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A file system of its own at a place."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("no file system can be mounted here (not root?)")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_the_disk_is_full(capture: Path, small_disk: Path) -> None:
    done = run("import", capture, "--output", small_disk / "archive")
    assert (done.returncode, done.stdout) == (failures.OUTPUT, "")
    assert re.fullmatch(r"rokubox: .*([Nn]o space left on device|disk I/O error)\n", done.stderr)
    left = [path for path in (small_disk / "archive").rglob("*") if path.is_file()]
    assert [path.name for path in left if path.suffix in (".zip", ".wav", ".json") or ".tmp-" in path.name] == []


@pytest.fixture
def shown_folder() -> Iterator[Path]:
    """A folder that anybody may look into and only its owner change."""
    with tempfile.TemporaryDirectory(prefix="rokubox-test-") as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.fixture
def secret(shown_folder: Path) -> Path:
    """A file that nobody may read."""
    file = shown_folder / "secret"
    file.write_bytes(b"")
    file.chmod(0)
    return file


@pytest.fixture
def refusing_folder(shown_folder: Path, capture: Path) -> Path:
    """A folder that nobody may write into, with a capture that all may read."""
    Path(shutil.copyfile(capture, shown_folder / "call.pcap")).chmod(0o644)
    shown_folder.chmod(0o555)
    return shown_folder


def test_a_file_that_may_not_be_read(secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused_to_somebody(capsys, "import", secret, "--output", secret.with_name("archive"))
    assert told == (failures.PERMISSION, f"{secret}: Permission denied")


def test_a_configuration_that_may_not_be_read(secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused_to_somebody(capsys, "import", "x", "--config", secret)
    assert told == (failures.PERMISSION, f"{secret}: Permission denied")


def test_an_output_that_may_not_be_written(refusing_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture, archive = refusing_folder / "call.pcap", refusing_folder / "archive"
    told = refused_to_somebody(capsys, "import", capture, "--output", archive)
    assert told == (failures.PERMISSION, f"cannot make the directory {archive}: Permission denied")


# --- calls ---


def test_calls_of_no_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "calls", "--archive", tmp_path / "none")
    assert told == (failures.INPUT, f"{tmp_path / 'none'} is not a directory")


def test_calls_of_an_empty_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calls", "--archive", str(tmp_path)]) == failures.OK
    assert capsys.readouterr().out == "0 calls\n"


def test_calls_as_json_are_the_records(archive: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["calls", "--archive", str(archive), "--json"]) == failures.OK
    sys.stdout.flush()
    [line] = capfdbinary.readouterr().out.splitlines()
    record = json.loads(line)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(record)
    assert [record] == call_records(archive)


def test_a_damaged_record_is_told_and_the_others_listed(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "archive"
    shutil.copytree(archive, copy)
    [stored] = copy.glob("calls/*/*/*/*.json")
    (stored.parent / f"{'0' * 64}.json").write_text("{")
    assert cli.main(["calls", "--archive", str(copy)]) == failures.INPUT
    printed = capsys.readouterr()
    assert CALLER.number in printed.out
    assert CALLEE.number in printed.out
    [line] = printed.err.splitlines()
    assert line.startswith("rokubox: call record 0000000000: not a CallRecord: ")


@pytest.mark.parametrize("form", ["--json", ""])
def test_a_reader_that_has_seen_enough(archive: Path, form: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [str(ROKUBOX), "calls", "--archive", str(archive), *form.split()]
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


# --- audit ---


def test_audit_without_tshark(
    capture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    told = "tshark is not installed, the audit needs it (package tshark)"
    assert refused(capsys, "audit", capture) == (failures.TOOL, told)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_audit(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", str(capture)]) == failures.OK
    assert capsys.readouterr().out.endswith("\nno differences\n")
    assert cli.main(["audit", str(capture), "--json"]) == failures.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["differences"], document["totals"]["calls"]) == ([], {"rokubox": 1, "tshark": 1})


# --- what nobody expects ---


def test_an_internal_error_is_one_line_without_content() -> None:
    try:
        raise KeyError("0335550101")
    except KeyError as error:
        code, lines = failures.failure(error, archive_code=failures.OUTPUT)
    [line] = lines
    assert code == failures.INTERNAL
    assert re.fullmatch(r"internal error: KeyError at test_cli\.py:\d+; please report it", line)


def test_an_error_without_a_class_of_its_own_is_internal() -> None:
    assert failures.failure(ApplianceError("x"), archive_code=failures.OUTPUT)[0] == failures.INTERNAL
    assert failures.failure(
        OSError(28, "No space left on device", "/x/0335550101.zip"), archive_code=failures.OUTPUT
    ) == (
        failures.OUTPUT,
        ["No space left on device"],
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_import_that_is_stopped(number: signal.Signals, frames: list[Frame], tmp_path: Path) -> None:
    """One call is whole and published, the rest of the input does not come: a pipe stands in for a slow disk."""
    whole, pipe, archive = tmp_path / "whole.pcap", tmp_path / "pipe.pcap", tmp_path / "archive"
    second = frames_of(play(call("second@example", talk_s=4.0, start_ns=frames[-1].ts_ns + 60_000_000_000)).packets)
    padding = [Frame(second[100].ts_ns, b"\0" * 60_000)] * 600
    write_pcap(whole, [*frames, *second[:100], *padding, *second[100:]])
    os.mkfifo(pipe)
    command = [str(ROKUBOX), "import", str(pipe), "--output", str(archive)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child,
        pipe.open("wb", buffering=0) as slow,
    ):
        feed(slow, whole.read_bytes()[:-1000])
        wait_for(lambda: any(archive.glob("recordings/*/*/*/*.zip")))
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (-number, "")
    assert err == "rokubox: interrupted; what is in the archive is whole; import again for the rest\n"
    assert list((archive / "spool").iterdir()) == []
    [part] = list(stored_parts(archive))
    assert list(part_differences([part])) == []
    before = tree_digest(archive / "calls")
    assert run("import", whole, "--output", archive).returncode == failures.OK
    assert tree_digest(archive / "calls").items() > before.items()
    assert part.path.exists()
    assert len(call_records(archive)) == 2


def feed(slow: io.RawIOBase, content: bytes) -> None:
    """Write without waiting for a reader of the last bytes, which stay in the pipe."""
    view = memoryview(content)
    while len(view):
        view = view[slow.write(view) or 0 :]


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_the_summary_tells_the_fate_of_every_packet(
    capture: Path, frames: list[Frame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["import", str(capture), "--output", str(tmp_path / "archive")]) == failures.OK
    printed = capsys.readouterr().out
    told = {
        name.strip(): int(number.replace(",", "")) for name, number in re.findall(r"^(.+?) +([\d,]+) *$", printed, re.M)
    }
    assert told["read"] == len(frames) == told["media (RTP)"] + told["signalling"]
    assert told["in recordings"] == told["media (RTP)"] > 390
    assert "of no known fate" not in told
    assert re.search(r"^ *recorded +- +1 *$", printed, re.M)
    assert told["all"] == 1
    assert re.search(
        r"^completeness: 100\.000 %   \(capture alone: 100\.000 %\)   speech expected: 8 s$", printed, re.M
    )
