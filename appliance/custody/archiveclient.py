"""How commands have an archive changed: by its owner when `rokubox-assemble` runs, else in this process."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from appliance import clocks
from appliance.config import Configuration
from appliance.custody import archiverequests
from appliance.custody.archiverequests import Answer, Refused, Request
from appliance.custody.archivesocket import NAME, short_path
from appliance.custody.archivist import Archivist, Surroundings
from appliance.errors import RequestError
from appliance.presentation import terminal
from storage.archive import Archive
from storage.errors import ArchiveBusyError, ArchiveError
from storage.register import Register
from storage.volume import volume
from storage.writer import ArchiveWriter

Ask = Callable[[Request], Answer]
WAIT_S = 15.0
"""How long an owner may take to begin or to end before the archive counts as busy."""
ANSWER_S = 600.0
"""How long an answer may take: a disk that fails is waited for."""
_PAUSE_S = 0.1


@contextmanager
def asking(archive: Archive, configuration: Configuration) -> Iterator[Ask]:
    """Have requests carried out, by whoever owns the archive.

    Raises:
        ArchiveBusyError: an import is writing to it.
        StorageError: it cannot be opened.
    """
    with ExitStack() as stack:
        yield _ask(stack, archive, configuration)


@contextmanager
def asking_daemon(archive: Archive) -> Iterator[Ask]:
    """Have requests carried out by `rokubox-assemble`, and by nobody else. Raises ArchiveBusyError when it is away."""
    connection = _connected(archive.run)
    if connection is None:
        raise ArchiveBusyError("rokubox-assemble is not running")
    with connection:
        yield partial(_answer, connection)


def _ask(stack: ExitStack, archive: Archive, configuration: Configuration) -> Ask:
    deadline = time.monotonic() + WAIT_S
    while True:
        connection = _connected(archive.run)
        if connection is not None:
            stack.enter_context(connection)
            return partial(_answer, connection)
        try:
            return partial(_at_once, stack.enter_context(own(archive, configuration)))
        except ArchiveBusyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)


def checked(answer: Answer) -> Answer:
    """The answer, unless it is a refusal. Raises ArchiveError, or RequestError when the request was wrong."""
    if isinstance(answer, Refused):
        raise (RequestError if answer.input else ArchiveError)(answer.problem)
    return answer


@contextmanager
def own(archive: Archive, configuration: Configuration) -> Iterator[Archivist]:
    """Own the archive in this process."""
    if not archive.root.is_dir():
        raise ArchiveError(f"{archive.root} is not a directory")
    volume.require(archive.root, configuration.storage.volume_uuid)
    with ArchiveWriter(archive, books=configuration.books(archive, time.time_ns)) as writer:
        assert writer.register is not None  # there are books
        assert writer.register.ledger is not None  # and no going on without them
        if writer.register.alarm:
            terminal.errors().print(f"rokubox: alarm: {writer.register.alarm}")
        around = Surroundings(
            zone=configuration.zone,
            pending=configuration.pending_uploads(archive).needs,
            settle=writer.sync,
            take_index=partial(_take_index, writer.register),
            changed=writer.sync,
        )
        archivist = Archivist(archive, writer.register.ledger, around)
        archivist.begin(time.time_ns())
        archivist.look_at_clock(clocks.sighting())
        yield archivist
        writer.sync()
        writer.register.tidy_index()


def _take_index(register: Register) -> Iterator[None]:
    register.take_index()
    yield


def _connected(run: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_S)
    try:
        with short_path(run / NAME) as path:
            connection.connect(path)
    except PermissionError:
        connection.close()
        raise
    except OSError:
        connection.close()
        return None
    return connection


def _answer(connection: socket.socket, request: Request) -> Answer:
    connection.sendall(archiverequests.line(request))
    received = b""
    while not received.endswith(b"\n"):
        piece = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            piece = connection.recv(1 << 16)
        if not piece:
            raise RequestError("the daemon gave no answer; what was begun goes on when it is back")
        received += piece
    return archiverequests.parse_answer(received)


def _at_once(archivist: Archivist, request: Request) -> Answer:
    steps = archivist.carry_out(request, clocks.sighting())
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            answer: Answer = ended.value
            return answer
