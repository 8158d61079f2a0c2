"""Hangs the kernel of an emulated machine for good: no processor ever does anything again, and no interrupt is taken.

By QEMU's stub for debuggers (GDB's remote serial protocol): where idle processors come back from sleep the code is
overwritten by `cli` and a jump to itself.
"""

import socket
import struct
import time
from collections import Counter
from pathlib import Path

_RIP_AT = 16 * 8
"""In the registers as they are told (x86-64): after the sixteen general ones."""
_KERNEL = 1 << 63
"""Its addresses are above."""
_FOR_EVER = bytes.fromhex("faebfe")
_LOOKS, _PAUSE_S = 200, 0.05
_SURE = 5
"""Where so many looks find a processor it is idle."""


def port(folder: Path) -> tuple[str, ...]:
    """QEMU's arguments for the stub."""
    return ("-gdb", f"unix:{folder / 'gdb'},server=on,wait=off")


def hang(folder: Path) -> None:
    """Hang the machine that was switched on with `port`."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(folder / "gdb"))
        line.settimeout(30)
        stub = _Stub(line)
        seen: Counter[int] = Counter()
        for _ in range(_LOOKS):
            for thread in stub.threads():
                stub.ask(f"Hg{thread}")
                (where,) = struct.unpack_from("<Q", bytes.fromhex(stub.ask("g")), _RIP_AT)
                seen[where] += 1
                if where & _KERNEL and seen[where] >= _SURE:
                    assert stub.ask(f"M{where:x},{len(_FOR_EVER):x}:{_FOR_EVER.hex()}") == "OK"
                    assert stub.ask("D") == "OK"
                    return
            stub.go_on(_PAUSE_S)
    raise AssertionError(f"no processor is ever idle: {seen.most_common(3)}")


class _Stub:
    """The other side of the protocol; the machine stands still while it is asked."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._heard = b""
        self._answer()  # a machine that runs is stopped by who connects, and says so

    def ask(self, packet: str) -> str:
        """Send a packet and return what is answered."""
        self._line.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
        return self._answer()

    def threads(self) -> list[str]:
        """One for each processor."""
        told, packet = "", "qfThreadInfo"
        while (answer := self.ask(packet)) != "l":
            told, packet = f"{told},{answer[1:]}", "qsThreadInfo"
        return told.strip(",").split(",")

    def go_on(self, seconds: float) -> None:
        """Let the machine run for so long."""
        self._line.sendall(b"$c#63")
        time.sleep(seconds)
        self._line.sendall(b"\x03")
        self._answer()

    def _answer(self) -> str:
        while (at := self._heard.find(b"$")) < 0 or b"#" not in self._heard[at:-2]:
            self._heard += self._line.recv(4096)
        end = self._heard.index(b"#", at)
        answer, self._heard = self._heard[at + 1 : end], self._heard[end + 3 :]
        self._line.sendall(b"+")
        return answer.decode()
