"""Archives with something to deliver, and the clock as an argument."""

import hashlib
from dataclasses import replace
from pathlib import Path

from storage.archive import Archive
from storage.vocabulary import Form
from tests.storage.retention.archives import make
from uploader import feed
from uploader.clock import Now
from uploader.deliveryqueue import DeliveryQueue
from uploader.policy import Plan, policy
from uploader.settings import DeliverySettings, TargetSettings

ENTERPRISE = "E1"
"""Of every call that `make` makes."""
DAY_S = 86_400.0
MIDNIGHT_NS = 1_767_193_200_000_000_000
"""2026-01-01T00:00 in Tokyo."""


def at(days: float) -> Now:
    """So many days after the uploader's first start, which was at midnight."""
    return Now(running_s=days * DAY_S, wall_ns=MIDNIGHT_NS + round(days * DAY_S * 1e9))


def directory(path: Path, name: str = "hq", **changes) -> TargetSettings:
    return replace(TargetSettings(name=name, url=path.as_uri()), **changes)


def plan(*targets: TargetSettings, **delivery) -> Plan:
    names = tuple(target.name for target in targets)
    return Plan(
        targets={target.name: target for target in targets},
        policies={ENTERPRISE: policy(names, DeliverySettings(**delivery))},
    )


def taken_in(root: Path, wanted: Plan, calls: int, *, parts: int = 1, form: Form = Form.ZIP) -> DeliveryQueue:
    """A queue with the recordings of a new archive in it."""
    make(root, calls, parts=parts, form=form)
    queue = DeliveryQueue(root)
    while feed.take_in(queue, Archive(root), wanted, at(0)):
        pass
    return queue


def hashes(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
