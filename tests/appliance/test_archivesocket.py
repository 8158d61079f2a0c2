"""The archive's owner, asked over its socket: while it works, by many, by the hostile."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.custody import archiverequests
from appliance.custody.archiverequests import MAX_REQUEST_BYTES, Done, Erased, Refused
from appliance.custody.archivesocket import MAX_CONNECTIONS, NAME, ArchiveSocket, short_path
from storage.archive import Archive
from tests.appliance.test_archivist import erase, hold
from tests.storage.retention.archives import SEEN, call_id, erasures, finished, make, owned

ROKUBOX = Path(sys.executable).with_name("rokubox")


@contextmanager
def served(root: Path) -> Iterator[ArchiveSocket]:
    """The owner's loop, in a thread, as the daemon has it in its own."""
    ended = threading.Event()
    with owned(root) as archivist, ArchiveSocket(Archive(root).run, archivist, lambda: SEEN) as owner:

        def loop() -> None:
            while not ended.wait(0.001):
                owner.poll()

        working = threading.Thread(target=loop)
        working.start()
        try:
            yield owner
        finally:
            ended.set()
            working.join()


@contextmanager
def connected(root: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection, short_path(root / "run" / NAME) as path:
        connection.settimeout(20)
        connection.connect(path)
        yield connection


def answers(connection: socket.socket, count: int) -> list[object]:
    received = b""
    while received.count(b"\n") < count:
        piece = connection.recv(1 << 16)
        assert piece, received
        received += piece
    return [archiverequests.parse_answer(line) for line in received.splitlines()]


def test_requests_of_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    make(tmp_path, 3)
    with served(tmp_path), connected(tmp_path) as connection:
        for request in (hold(1), erase(0, 1), hold(1, released=True)):
            connection.sendall(archiverequests.line(request))
        held, erased, released = answers(connection, 3)
    assert isinstance(erased, Erased)
    assert isinstance(held, Done)
    assert isinstance(released, Done)
    assert (held.calls, released.calls) == (1, 1)
    assert (erased.erased, erased.left) == ((call_id(0),), {call_id(1): "held"})


def test_many_ask_at_once(tmp_path: Path) -> None:
    make(tmp_path, 12, parts=1)
    told: list[object] = []
    with served(tmp_path):

        def ask(number: int) -> None:
            with connected(tmp_path) as connection:
                connection.sendall(archiverequests.line(erase(number)))
                told.extend(answers(connection, 1))

        asking = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
    assert finished(tmp_path) == set()
    assert sorted(one.erased[0] for one in told) == sorted(call_id(number) for number in range(12))  # type: ignore[attr-defined]


def test_who_asks_and_leaves_has_it_done_all_the_same(tmp_path: Path) -> None:
    make(tmp_path, 2)
    with served(tmp_path):
        with connected(tmp_path) as connection:
            connection.sendall(archiverequests.line(erase(0)))
        with connected(tmp_path) as connection:
            connection.sendall(archiverequests.line(hold(1)))
            answers(connection, 1)
    assert len(erasures(tmp_path)) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        b'{"kind":"erase"}\n',
        json.dumps({"kind": "erase", "calls": [], "rule": "r", "who": "w", "why": "y"}).encode() + b"\n",
        json.dumps(
            {"kind": "erase", "calls": [["../../etc", "2026-01-02"]], "rule": "r", "who": "w", "why": "y"}
        ).encode()
        + b"\n",
        json.dumps(
            {"kind": "erase", "calls": [[call_id(0), "../../../x"]], "rule": "r", "who": "w", "why": "y"}
        ).encode()
        + b"\n",
        json.dumps({"kind": "confirm_clock", "who": "w", "why": "y", "more": 1}).encode() + b"\n",
        b"x" * (MAX_REQUEST_BYTES + 1),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_is_served(tmp_path: Path, sent: bytes) -> None:
    make(tmp_path, 1)
    with served(tmp_path):
        with connected(tmp_path) as connection:
            connection.sendall(sent)
            [refused] = answers(connection, 1)
            assert isinstance(refused, Refused)
            assert refused.input
        with connected(tmp_path) as connection:
            connection.sendall(archiverequests.line(erase(0)))
            [erased] = answers(connection, 1)
    assert isinstance(erased, Erased)
    assert erased.erased == (call_id(0),)


def test_no_more_connections_than_it_can_look_after(tmp_path: Path) -> None:
    """Those beyond wait in the kernel, and are served when others have gone."""
    make(tmp_path, 1)
    with served(tmp_path), connected(tmp_path) as first:
        silent = []
        for _ in range(MAX_CONNECTIONS - 1):
            one = socket.socket(socket.AF_UNIX)
            with short_path(tmp_path / "run" / NAME) as path:
                one.connect(path)
            silent.append(one)
        with connected(tmp_path) as late:
            late.sendall(archiverequests.line(erase(0)))
            first.sendall(archiverequests.line(hold(0)))
            assert isinstance(answers(first, 1)[0], Done)
            for one in silent:
                one.close()
            [answer] = answers(late, 1)
    assert isinstance(answer, Erased)
    assert answer.left == {call_id(0): "held"}


def test_the_socket_is_for_the_owners_group(tmp_path: Path) -> None:
    make(tmp_path, 1)
    path = tmp_path / "run" / NAME
    path.write_bytes(b"left over")
    with served(tmp_path):
        assert path.stat().st_mode & 0o777 == 0o660
    assert not path.exists()


def test_an_archive_with_a_long_path(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 40) / "archive"
    root.parent.mkdir()
    make(root, 1)
    with served(root), connected(root) as connection:
        connection.sendall(archiverequests.line(erase(0)))
        assert isinstance(answers(connection, 1)[0], Erased)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to ask as somebody else")
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a Python that everybody may run")
def test_another_users_name_goes_with_what_is_asked(tmp_path: Path) -> None:
    make(tmp_path, 1)
    with served(tmp_path):
        (tmp_path / "run" / NAME).chmod(0o666)
        for folder in (tmp_path / "run", tmp_path, *list(tmp_path.parents)[:-2]):
            folder.chmod(folder.stat().st_mode | 0o011)
        asking = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.sendall(sys.stdin.buffer.read()); sys.stdout.buffer.write(s.recv(65536))"
        )
        done = subprocess.run(
            ["/usr/bin/python3", "-c", asking, tmp_path / "run" / NAME],
            input=archiverequests.line(erase(0)),
            capture_output=True,
            check=False,
            user="nobody",
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
    [said] = erasures(tmp_path)
    assert said.who == "tanaka (asked by nobody)"


def test_the_commands_ask_the_owner_or_do_it_themselves(tmp_path: Path) -> None:
    make(tmp_path, 3)

    def rokubox(*words: str) -> str:
        done = subprocess.run([ROKUBOX, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    archive = ("--archive", str(tmp_path))
    with served(tmp_path):
        rokubox("hold", "--set", "case", call_id(0), "--why", "court", *archive)
        rokubox("erase", call_id(0)[:10], call_id(1), "--yes", "--why", "asked", "--certificate", "cert", *archive)
    assert len(finished(tmp_path)) == 6
    certificate = json.loads((tmp_path / "cert.json").read_text())
    assert (certificate["calls"], certificate["left"]) == (1, {"held": 1})
    assert "case" in rokubox("hold", *archive)
    rokubox("hold", "--release", "case", "--why", "closed", *archive)
    assert "no holds" in rokubox("hold", *archive)
    rokubox("erase", "--number", "+81 3 1234 5678", "--yes", "--why", "asked", "--certificate", "cert", *archive)
    assert finished(tmp_path) == set()
