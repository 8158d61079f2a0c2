"""Random calls, many at a time, against the truth of every sample: what nobody thought of testing."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.recorded_truth import differences
from tests.scenario import SECOND_NS, call, do_import, media
from tests.traffic.calls import START_NS, CallScript, Hold, PlayedCall, play, together
from tests.traffic.g711 import PCMA, PCMU
from tests.traffic.media import Digit, MediaScript, impaired
from tests.traffic.pcapwriter import Address, Transport
from tests.traffic.signalling import Party, Side

CALLS = 10
CONFIG = "[recording]\nsegment_s = 30\n"


def intervals(rng: random.Random, talk_s: float, count: int) -> tuple[tuple[float, float], ...]:
    """Disjoint intervals within the talk, away from its ends and from each other."""
    room = talk_s / (count + 1)
    starts = [room * (place + 0.4) for place in range(count)]
    return tuple((round(start, 2), round(start + rng.uniform(0.1, room * 0.4), 2)) for start in starts)


def random_media(rng: random.Random, talk_s: float) -> MediaScript:
    kind = rng.choice(["plain", "quiet", "suppressed", "digits", "restarts"])
    spans = intervals(rng, talk_s, rng.randint(1, 3))
    changes = {
        "plain": {},
        "quiet": {"quiet_s": spans},
        "suppressed": {"suppressed_s": spans},
        "digits": {"digits": tuple(Digit(at_s=start, digit=rng.choice("0123456789*#")) for start, _ in spans)},
        "restarts": {"restarts_s": tuple(start for start, _ in spans)},
    }[kind]
    script = media(
        talk_s,
        rng.randrange(4),
        codec=rng.choice([PCMU, PCMA]),
        ptime_ms=rng.choice([10, 20, 20, 20, 30, 40]),
        jitter_ns=rng.choice([0, 2_000_000, 9_000_000]),
        skew_ppm=rng.choice([0.0, 0.0, 50.0, -80.0]),
        first_sequence=rng.choice([None, 65_500, 0]),
        first_timestamp=rng.choice([None, 2**32 - 8000, 0]),
        srtp_key=rng.choice([b"", b"", b"", rng.randbytes(30)]),
        **changes,  # type: ignore[arg-type]
    )
    if kind == "restarts":
        # Each stream is aligned by itself: with these, two would meet in the same samples, and the later one give way.
        script = replace(script, jitter_ns=0, skew_ppm=0.0)
    script = replace(script, seed=rng.randrange(1 << 30))
    return impaired(
        script,
        loss=rng.choice([0.0, 0.01, 0.05]),
        reordered=rng.choice([0.0, 0.02]),
        seed=rng.randrange(1 << 30),
    )


def random_call(rng: random.Random, number: int) -> CallScript:
    six = rng.random() < 0.2
    hosts = [f"2001:db8::{side}:{number:x}" if six else f"10.{side}.0.{number + 1}" for side in (1, 2)]
    parties = [
        Party(number=f"03{rng.randrange(10**8):08}", sip=Address(host, 5060), rtp=Address(host, 20_000 + 2 * number))
        for host in hosts
    ]
    talk_s = rng.choice([4.0, 8.0, 12.0, 33.0])
    both = [random_media(rng, talk_s) for _ in Side]
    if bool(both[0].srtp_key) != bool(both[1].srtp_key):
        both = [replace(script, srtp_key=b"") for script in both]
    holds: tuple[Hold, ...] = ()
    if rng.random() < 0.3 and talk_s > 5:
        direction = rng.choice(["sendonly", "inactive", "zero"])
        holds = (Hold(at_s=talk_s * 0.82, seconds=talk_s * 0.1, by=rng.choice(list(Side)), direction=direction),)
        # Beside a hold, loss could be put down to either.
        both = [replace(script, lost=frozenset(), late_ns={}) for script in both]
    return call(
        f"{rng.getrandbits(64):x}@{hosts[0]}",
        talk_s=talk_s,
        caller=parties[0],
        callee=parties[1],
        caller_media=both[0],
        callee_media=both[1],
        start_ns=START_NS + rng.randrange(20 * SECOND_NS),
        ring_s=rng.uniform(0.3, 3.0),
        holds=holds,
        late_offer=rng.random() < 0.2,
        early_s=0.0,
        transport=rng.choice([Transport.UDP, Transport.UDP, Transport.TCP]),
        compact=rng.random() < 0.3,
        ends=rng.choice(list(Side)),
    )


def random_calls(seed: int) -> list[PlayedCall]:
    rng = random.Random(seed)
    return [play(random_call(rng, number)) for number in range(CALLS)]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_calls(seed: int, tmp_path: Path) -> None:
    calls = random_calls(seed)
    found = do_import(tmp_path, together(calls), config=CONFIG)
    assert differences(found.archive, calls) == []
    assert len(found.records) == CALLS
