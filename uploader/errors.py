"""Errors of delivery. Messages name no file: file names hold callers' numbers."""


class UploaderError(Exception):
    """Root of everything this package raises on purpose."""


class QueueError(UploaderError):
    """The queue cannot be read or written at present."""


class TargetError(UploaderError):
    """The target as a whole does not work at present: it is away, full, refuses us, or is not who it should be."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """`retry_after_s`: how long the target wants to be left alone, when it said so."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ParcelError(UploaderError):
    """The target does not take this file, or does not hold what it was given; others may go on."""


class SourceError(UploaderError):
    """Our own file is gone, or is not what the ledger says: it must not be delivered."""
