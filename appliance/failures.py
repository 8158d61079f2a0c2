"""What an error means to whoever started a command: one line for each problem, and an exit code by class."""

import traceback
from pathlib import Path

from appliance.errors import (
    AlreadyRunningError,
    BundleError,
    CertificateError,
    ConfigurationError,
    FirmwareError,
    MediumError,
    RequestError,
    StateFileError,
    ToolFailedError,
    ToolMissingError,
)
from appliance.exitcodes import INPUT, INTERNAL, OK, OUTPUT, PERMISSION, TOOL, USAGE
from capture.errors import (
    CaptureFileError,
    FilterError,
    JournalBusyError,
    JournalWriteError,
    RingError,
    SpanPortError,
)
from storage.errors import StorageError
from uploader.errors import UploaderError

__all__ = ["INPUT", "INTERNAL", "OK", "OUTPUT", "PERMISSION", "TOOL", "USAGE", "failure"]


def failure(error: Exception, *, archive_code: int = OUTPUT) -> tuple[int, list[str]]:
    """Return the exit code of an error and what to say of it, a line for each problem.

    `archive_code` is that of trouble with the archive, which one command writes and the next one reads.
    """
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    for kind, code in (
        (ConfigurationError, USAGE),
        (ToolMissingError, TOOL),
        (ToolFailedError, INPUT),
        (RequestError, OUTPUT),
        (StateFileError, INPUT),
        (CertificateError, INPUT),
        (MediumError, INPUT),
        (BundleError, INPUT),
        (FirmwareError, OUTPUT),
        (CaptureFileError, INPUT),
        (AlreadyRunningError, USAGE),
        (FilterError, USAGE),
        (RingError, USAGE),
        (SpanPortError, USAGE),
        (JournalBusyError, OUTPUT),
        (JournalWriteError, OUTPUT),
        (StorageError, archive_code),
        (UploaderError, archive_code),
        (OSError, OUTPUT),
    ):
        if isinstance(error, kind):
            told = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            lines = told.splitlines() if isinstance(error, ConfigurationError | RingError | SpanPortError) else [told]
            return PERMISSION if isinstance(cause, PermissionError) else code, lines
    # Where it happened, not with what: an error's text may hold a caller's number.
    steps = traceback.extract_tb(error.__traceback__)[-3:]
    trail = " > ".join(f"{Path(step.filename).name}:{step.lineno}" for step in steps)
    return INTERNAL, [f"internal error: {type(error).__name__} at {trail or 'an unknown place'}; please report it"]
