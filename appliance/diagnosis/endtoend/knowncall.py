"""What is said in the known call: mu-law codes that never change, and the digest of the samples they stand for. Pure.

Every code occurs, on either side, so that nothing of the table can be wrong unnoticed.
"""

import hashlib

import numpy as np
import numpy.typing as npt

CODES = 16_000
"""Two seconds."""
SAMPLES_SHA256 = "1ce029081bd789211e421afa733e111722bcb92f547f7c78223b57d42203193e"
"""Of the linear samples, caller then callee, 16 bits little-endian, as ITU-T G.711 has them."""
_MULTIPLIER, _INCREMENT = 6364136223846793005, 1442695040888963407


def codes(seed: int) -> bytes:
    """Return what one side says; 0 is the caller, 1 the callee. The same for ever: Knuth's MMIX generator."""
    state, said = seed + 1, bytearray()
    while len(said) < CODES:
        state = (state * _MULTIPLIER + _INCREMENT) % (1 << 64)
        said.append(state >> 56)
    return bytes(said)


def digest(caller: npt.NDArray[np.int16], callee: npt.NDArray[np.int16]) -> str:
    """Return the digest of both sides' samples."""
    both = np.concatenate([caller, callee]).astype("<i2")
    return hashlib.sha256(both.tobytes()).hexdigest()
