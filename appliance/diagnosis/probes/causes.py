"""Why a connection failed, from the system's error. Pure but for the errors' types."""

import errno
import socket
import ssl

from appliance.diagnosis.evidence import Cause

_EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""
_BY_NUMBER = {
    errno.ECONNREFUSED: Cause.REFUSED,
    errno.ECONNRESET: Cause.REFUSED,
    errno.EHOSTUNREACH: Cause.UNREACHABLE,
    errno.ENETUNREACH: Cause.NO_ROUTE,
    errno.ENETDOWN: Cause.LINK_DOWN,
    errno.ETIMEDOUT: Cause.TIMEOUT,
    errno.EACCES: Cause.NOT_PERMITTED,
    errno.EPERM: Cause.NOT_PERMITTED,
    errno.EADDRNOTAVAIL: Cause.NO_ROUTE,
    errno.ENODEV: Cause.INTERFACE_MISSING,
}


def of(error: OSError) -> Cause:
    """Return the cause."""
    match error:
        case ssl.SSLCertVerificationError():
            return Cause.TLS_EXPIRED if error.verify_code == _EXPIRED else Cause.TLS_REFUSED
        case ssl.SSLError():
            return Cause.TLS_REFUSED
        case socket.gaierror():
            return Cause.NAME_UNKNOWN
        case TimeoutError():
            return Cause.TIMEOUT
    return _BY_NUMBER.get(error.errno or 0, Cause.UNREACHABLE)
