"""G.711 by the book (ITU-T G.711 tables 1 and 2), one code at a time: the tests' own reference."""

import numpy as np
import numpy.typing as npt

PCMU = "PCMU"
PCMA = "PCMA"


def _linear_of_mu(code: int) -> int:
    inverted = ~code & 0xFF
    magnitude = (((inverted & 0x0F) << 3) + 0x84 << (inverted >> 4 & 0x07)) - 0x84
    return -magnitude if inverted & 0x80 else magnitude


def _linear_of_a(code: int) -> int:
    toggled = code ^ 0x55
    segment, step = toggled >> 4 & 0x07, toggled & 0x0F
    magnitude = (step << 4) + 8 if segment == 0 else (step << 4) + 0x108 << segment - 1
    return magnitude if toggled & 0x80 else -magnitude


LINEAR = {
    PCMU: np.array([_linear_of_mu(code) for code in range(256)], dtype=np.int16),
    PCMA: np.array([_linear_of_a(code) for code in range(256)], dtype=np.int16),
}
"""Per law, the 16-bit sample of each of the 256 codes."""


def _nearest_codes(law: str) -> npt.NDArray[np.uint8]:
    order = np.argsort(LINEAR[law], kind="stable")
    levels = LINEAR[law][order].astype(np.int32)
    borders = (levels[1:] + levels[:-1]) // 2
    return order[np.searchsorted(borders, np.arange(-32768, 32768), side="right")].astype(np.uint8)


_CODES = {law: _nearest_codes(law) for law in LINEAR}


def encode(samples: npt.NDArray[np.int16], law: str) -> npt.NDArray[np.uint8]:
    """The nearest code of each sample; same shape."""
    return _CODES[law][samples.astype(np.int32) + 32768]


def decode(codes: npt.NDArray[np.uint8], law: str) -> npt.NDArray[np.int16]:
    """The 16-bit sample of each code; same shape."""
    return LINEAR[law][codes]
