"""What a contract wants to be notified when it changes: delivery destinations and the VPN. Pure.

Values are kept as hashes: what the carrier's endpoints are is confidential, and only whether it changed matters.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from appliance.diagnosis.settings import ProbeSettings
from uploader.settings import TargetSettings


def values(probe: ProbeSettings, targets: Iterable[TargetSettings], router: str) -> dict[str, str]:
    """What is so now, by names as `rules.box.changed` takes them; what is not known is left out.

    `router` is the VPN router's MAC address: another one is another router.
    """
    endpoints = sorted(f"{one.transport}:{one.address}:{one.port}" for one in probe.carrier)
    said = {
        "vpn:next hop": probe.vpn_next_hop,
        "vpn:carrier endpoints": " ".join(endpoints),
        "vpn:router": router,
        "vpn:carrier networks": " ".join(sorted(probe.carrier_networks)),
    }
    said |= {f"target:{target.name}": f"{target.url} {target.user}" for target in targets}
    return {name: hashlib.sha256(value.encode()).hexdigest()[:16] for name, value in said.items() if value}


def dump(noted: dict[str, str]) -> str:
    """As text."""
    return msgspec.json.encode(noted).decode()


def load(text: str) -> dict[str, str]:
    """What was noted; nothing when the text is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError:
        return {}
