"""TLS towards targets: who may vouch for the server, and why it was not believed."""

import ssl

from uploader.errors import TargetError


def context(ca_file: str) -> ssl.SSLContext:
    """Verify certificate and name, against these authorities or those of the system. Raises TargetError."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise TargetError(f"ca_file cannot be used: {error.strerror or type(error).__name__}") from error


def distrust(error: BaseException | None) -> str:
    """Why the server's certificate was not accepted; empty when that was not the trouble."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"no TLS with it: {error.reason or 'it does not speak TLS'}"
        error = error.__cause__ or error.__context__
    return ""
