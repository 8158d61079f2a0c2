import errno
import socket
import ssl

import pytest

from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmName
from appliance.telemetry.failure import ConnectReason, of_code, of_error


def verification(code):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


def tls(reason):
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name_not_resolved"),
        (ConnectionRefusedError(), "refused"),
        (TimeoutError(), "timed_out"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no_route"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no_route"),
        (ConnectionResetError(), "closed"),
        (verification(62), "server_name"),
        (verification(64), "server_name"),
        (verification(10), "server_expired"),
        (verification(9), "server_expired"),
        (verification(19), "server_untrusted"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "client_certificate"),
        (tls("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "client_certificate"),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), "client_certificate"),
        (tls("WRONG_VERSION_NUMBER"), "tls"),
        (ssl.SSLEOFError(8, "EOF"), "closed"),
        (ValueError("odd"), "other"),
    ],
)
def test_errors(error, reason):
    assert of_error(error).reason == reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [(0x87, "not_authorised"), (0x86, "bad_credentials"), (0x85, "client_id"), (0x8E, "taken_over"), (0xA2, "other")],
)
def test_reason_codes(code, reason):
    assert of_code(code, "in words").reason == reason


def test_every_reason_is_a_qualifier_of_the_alarm():
    assert set(catalogue()[AlarmName.BROKER_UNREACHABLE].qualifiers) == {reason.value for reason in ConnectReason}
