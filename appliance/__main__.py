"""Entry point of the `rokubox` command: what concerns the process, around what `cli` does.

A program at the end of a pipe: when its reader has seen enough it ends quietly, and when it is stopped (Ctrl-C,
SIGTERM) it first takes away what is half done and then dies of the signal, so that the shell that runs it knows.
"""

import io
import os
import signal
import sys
from types import FrameType

from appliance import processmemory

processmemory.before_numpy()

from appliance import cli  # noqa: E402
from storage.disk import UMASK  # noqa: E402


class _StoppedError(KeyboardInterrupt):
    """A signal asks the process to end."""


def main() -> int:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.umask(UMASK)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    processmemory.keep()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        return cli.main()
    except _StoppedError as stopped:
        number = stopped.args[0]
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return 128 + int(number)


def _stop(number: int, _frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise _StoppedError(number)


if __name__ == "__main__":
    sys.exit(main())
