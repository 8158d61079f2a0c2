"""A bandwidth limit: a bucket of bytes that fills evenly (token bucket). Pure."""


class Throttle:
    """What all transfers of one target share. Times are seconds of one steady clock."""

    def __init__(self, bytes_s: float) -> None:
        """`bytes_s`: so many bytes a second; 0: no limit."""
        self._bytes_s = bytes_s
        self._free_s = 0.0

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """How long to wait before so many bytes are sent; they count as sent then."""
        if not self._bytes_s:
            return 0.0
        begins_s = max(self._free_s, now_s)
        self._free_s = begins_s + size_bytes / self._bytes_s
        return begins_s - now_s
