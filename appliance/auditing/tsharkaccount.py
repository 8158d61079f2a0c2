"""tshark asked for its account of a capture: the independent second opinion of `rokubox audit`.

tshark runs as a child process with an empty configuration directory, so that a user's preferences and plugins do not
change the answer. Media that no signalling announces is found by its `rtp_udp` heuristic, which is off by default.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from appliance.auditing import tsharkoutput
from appliance.auditing.audit import Account, Difference, StreamKey, TsharkAccount, compare, differs
from appliance.auditing.auditrules import Recount
from appliance.errors import ToolFailedError, ToolMissingError

T = TypeVar("T")

READ_AS = ("--enable-heuristic", "rtp_udp", "-d", "udp.port==8472,vxlan")
"""What tshark does not look for on its own: media without signalling, and VXLAN on Linux's old port, as we read it."""

_MAX_LISTED = 200
"""More streams than this are recounted without naming them on tshark's command line."""


def tool() -> str:
    """Return where tshark lies. Raises `ToolMissingError` when it is not installed."""
    path = shutil.which("tshark")
    if path is None:
        raise ToolMissingError("tshark is not installed, the audit needs it (package tshark)")
    return path


def hold_against(capture: Path, ours: Account) -> tuple[TsharkAccount, tuple[Difference, ...]]:
    """Return tshark's account of `capture` and every difference from ours, explained where the figures allow it.

    Raises `ToolMissingError` when there is no tshark, `ToolFailedError` when it cannot read the capture at all.
    """
    theirs = read_account(capture)
    keys = differs(ours, theirs)
    recounts = recount(capture, keys, surplus=keys - theirs.streams.keys()) if keys else {}
    return theirs, compare(ours, theirs, recounts)


def read_account(capture: Path) -> TsharkAccount:
    """Return tshark's account of `capture`: frames, SIP dialogs and RTP streams, in one pass."""
    arguments = ["-Y", "sip && !icmp && !icmpv6", "-T", "ek", "-J", "sip", "-z", "rtp,streams", "-z", "io,phs"]
    read, damage = _run(capture, arguments, tsharkoutput.account)
    if damage and not read.packets:
        raise ToolFailedError(f"tshark cannot read the capture: {damage}")
    return replace(read, damage=damage)


def recount(capture: Path, keys: Iterable[StreamKey], *, surplus: Iterable[StreamKey] = ()) -> dict[StreamKey, Recount]:
    """Count `keys` again from the packet fields that tshark dissects.

    For `surplus`, the streams that tshark did not list, it is told that their destination port carries RTP.
    """
    wanted = set(keys)
    ports = {key.destination.rpartition(":")[2] for key in surplus}
    ssrcs = sorted({f"0x{key.ssrc:08x}" for key in wanted})
    chosen = f" && rtp.ssrc in {{{', '.join(ssrcs)}}}" if len(ssrcs) <= _MAX_LISTED else ""
    arguments = [option for port in sorted(ports) for option in ("-d", f"udp.port=={port},rtp")]
    arguments += ["-Y", f"rtp && !icmp && !icmpv6{chosen}", "-T", "fields", "-E", "occurrence=l"]
    arguments += [option for name in tsharkoutput.FIELDS for option in ("-e", name)]
    counted, _ = _run(capture, arguments, tsharkoutput.recount)
    return {key: figures for key, figures in counted.items() if key in wanted}


def frames(capture: Path, chosen: str) -> list[str]:
    """Return the first frames that a display filter lets through, a line each, as Wireshark lists them."""
    fields = [option for name in tsharkoutput.FRAME_FIELDS for option in ("-e", name)]
    shown, _ = _run(capture, ["-Y", chosen, "-T", "fields", *fields], tsharkoutput.frames)
    return shown


def _run(capture: Path, arguments: Sequence[str], read: Callable[[Iterable[str]], T]) -> tuple[T, str]:
    """Run tshark over `capture`; return what `read` makes of its lines, and its complaint when it failed."""
    with tempfile.TemporaryDirectory(prefix="rokubox-audit-") as empty, tempfile.TemporaryFile() as complaints:
        command = [tool(), "-n", "-r", str(capture.absolute()), *READ_AS, *arguments]
        environment = os.environ | {"WIRESHARK_CONFIG_DIR": empty, "LC_ALL": "C.UTF-8"}
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints,
            env=environment, encoding="utf-8", errors="replace",
        ) as child:  # fmt: skip
            assert child.stdout is not None
            answer = read(child.stdout)
        complaints.seek(0)
        return answer, _complaint(complaints.read(), capture) if child.returncode else ""


def _complaint(stderr: bytes, capture: Path) -> str:
    """Return tshark's last line without its own name and the capture's path, which the caller knows."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.startswith("tshark:")]
    text = lines[-1].removeprefix("tshark:").strip() if lines else "it ended with an error"
    return text.replace(str(capture.absolute()), capture.name)
