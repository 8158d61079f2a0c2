"""When what failed is tried again: exponential back-off with jitter, and what the target asks for. Pure."""

FIRST_S = 30.0
"""The longest wait after a first failure; it doubles with every further one."""
MOST_S = 3600.0
"""No wait is longer, unless the target asks for one."""
MOST_ASKED_S = 86_400.0
"""No target is left alone for longer, whatever it asks for."""


def wait_s(failures: int, fraction: float, asked_s: float | None = None) -> float:
    """How long to wait after so many failures in a row, at least one.

    `fraction` in [0, 1) is the jitter: boxes that lost one target at one moment do not come back at one moment.
    `asked_s` is what the target asked for (Retry-After, RFC 9110 section 10.2.3): never less, and jitter on top.
    """
    longest_s = min(MOST_S, FIRST_S * 2.0 ** min(failures - 1, 16))
    jittered_s = longest_s * (0.5 + fraction / 2)
    if asked_s is None or asked_s <= 0:
        return jittered_s
    return max(jittered_s, min(asked_s, MOST_ASKED_S) + fraction * min(longest_s, FIRST_S))
