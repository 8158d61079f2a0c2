"""Stand-ins for what cannot run in a test, one per port."""

from capture.mirrorport import MirrorPort
from capture.octets import Octets
from capture.records import RecordBatch
from capture.ring import RingSettings
from tests.appliance.journals import batch_of
from tests.traffic.pcapwriter import Frame


class StampedPort(MirrorPort):
    """A mirror port whose packets carry stamps of the test's own: the kernel's are by this machine's clock."""

    def __init__(self) -> None:
        super().__init__(0, "s0", b"", RingSettings())
        self._ready: list[Frame] = []
        self._read = 0

    def receive(self, frames: list[Frame]) -> None:
        """Have packets in the ring."""
        self._ready += frames

    def unread(self) -> int:
        return int(len(self._ready) > self._read)

    def begun_ns(self, most: int) -> list[int]:
        return [self._ready[0].ts_ns][:most] if self._ready else []

    def read(self, blocks: int) -> tuple[RecordBatch | None, list[Octets]]:
        if not blocks:
            return None, []
        self._read = len(self._ready)
        return batch_of(self._ready), []

    def release(self) -> None:
        del self._ready[: self._read]
        self._read = 0
