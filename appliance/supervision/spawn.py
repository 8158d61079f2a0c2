"""Starts a program the way systemd does: with descriptors handed over (sd_listen_fds(3)) and nothing else inherited.

`subprocess` cannot: LISTEN_PID is the new process's own number, known only between fork and exec.
"""

import fcntl
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

_FIRST = 3
"""Number of the first descriptor handed over (SD_LISTEN_FDS_START)."""
_NOT_STARTED = 127
"""Exit code of a program that could not be started, as in a shell."""
_FIXED_SIGNALS = {signal.SIGKILL, signal.SIGSTOP}


def spawn(
    argv: Sequence[str],
    environment: Mapping[str, str],
    descriptors: Mapping[str, int],
    register: Callable[[int, int], object] = lambda _pid, _pidfd: None,
) -> tuple[int, int]:
    """Start a program and return its process number and its pidfd; `argv` begins with its path.

    It reads nothing, writes its output where our messages go (stderr), is a session of its own (Ctrl-C is ours alone),
    and gets the descriptors as 3 and on, with their names. `register` is told both numbers before it begins: if we die
    before that has returned, it never does. The caller must have no other threads.

    Raises:
        OSError: there is no memory, process or descriptor left. (A program that is not there ends with 127.)
    """
    gate, opener = os.pipe()
    try:
        pid = _fork(argv, environment, descriptors, gate)
    except OSError:
        os.close(opener)
        raise
    finally:
        os.close(gate)
    try:
        pidfd = os.pidfd_open(pid)
        register(pid, pidfd)
        os.write(opener, b"!")
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(opener)
    return pid, pidfd


def _fork(argv: Sequence[str], environment: Mapping[str, str], descriptors: Mapping[str, int], gate: int) -> int:
    # A signal between fork and exec must not run our handlers in the new process, nor be lost: it waits till then.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(argv, environment, descriptors, gate)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def _become(argv: Sequence[str], environment: Mapping[str, str], descriptors: Mapping[str, int], gate: int) -> NoReturn:
    try:
        os.setsid()
        _reset_signals()
        gate = _place([*descriptors.values(), gate])
        if os.read(gate, 1):
            os.close(gate)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execve(argv[0], list(argv), {**environment, **_listen(list(descriptors))})
    except BaseException as error:
        os.write(2, f"{argv[0]}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(_NOT_STARTED)  # Whatever happened: never back into the caller's code.


def _reset_signals() -> None:
    for number in signal.valid_signals() - _FIXED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    # Harmless unless the program asks for it: it is passed on when the terminal is closed, too.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _place(descriptors: list[int]) -> int:
    """Bring stdin, stdout and what is handed over to their numbers, and close everything else; return the last one."""
    end = _FIRST + len(descriptors)
    null, *moved = [
        fcntl.fcntl(descriptor, fcntl.F_DUPFD, end)  # Out of the way of the numbers that are to be taken.
        for descriptor in (os.open(os.devnull, os.O_RDONLY), *descriptors)
    ]
    os.dup2(null, 0)
    os.dup2(2, 1)
    for fileno, descriptor in enumerate(moved, _FIRST):
        os.dup2(descriptor, fileno)
    os.closerange(end, os.sysconf("SC_OPEN_MAX"))
    return end - 1


def _listen(names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
