"""What a service says for the log: to systemd's journal with fields to look for, else to stderr as plain lines.

PRIORITY            3 (err) for an alarm, 5 (notice) for the end of one, 6 (info) for everything else
SYSLOG_IDENTIFIER   the service's name
ROKUBOX_...         what the caller adds, for example the concern of an alarm

So `journalctl -p err -t rokubox-capture` shows that service's alarms.
"""

import os
import sys
from contextlib import suppress

_ERROR, _NOTICE, _INFORMATION = 3, 5, 6
"""Of syslog(3)."""


def say(service: str, line: str, **fields: str) -> None:
    """Say a line. Whoever reads it may be gone, its disk full: then nothing happens."""
    with suppress(OSError):
        if _is_journal():
            # Not before it is needed: capture, when it was killed, is to be back at once.
            from systemd import journal

            journal.send(line, **{"SYSLOG_IDENTIFIER": service, "PRIORITY": str(_priority(line)), **fields})
        else:
            print(f"{service}: {line}", file=sys.stderr, flush=True)


def _is_journal() -> bool:
    """Whether stderr goes to the journal (systemd.exec(5), JOURNAL_STREAM): what was redirected stays where it goes."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    stderr = os.fstat(sys.stderr.fileno())
    return stream == f"{stderr.st_dev}:{stderr.st_ino}"


def _priority(line: str) -> int:
    if line.startswith("alarm"):
        return _ERROR
    return _NOTICE if line.startswith("over: ") else _INFORMATION
