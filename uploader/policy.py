"""What is done with a finished recording, by enterprise ID. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from uploader.settings import DeliverySettings, TargetSettings, Then, Verify
from uploader.window import Window

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one enterprise wants."""

    targets: tuple[str, ...]
    """Names of the targets that each recording goes to."""
    window: Window | None
    """When; None: always."""
    erases: bool
    """A call is erased here when every target has proved to hold it."""
    give_up_s: float
    """How long delivery is tried."""
    erases_given_up: bool
    """A call is erased here even when delivery was given up."""

    def is_open(self, local: datetime) -> bool:
        """Whether deliveries are made at a local time."""
        return self.window is None or self.window.is_open(local)


def policy(targets: tuple[str, ...], delivery: DeliverySettings) -> Policy:
    """The policy that the configuration of an enterprise describes."""
    return Policy(
        targets=tuple(dict.fromkeys(targets)),
        window=delivery.times,
        erases=delivery.then is Then.DELETE,
        give_up_s=delivery.give_up_days * DAY_S,
        erases_given_up=delivery.on_give_up is Then.DELETE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of it."""

    targets: Mapping[str, TargetSettings] = field(default_factory=dict)
    """By name."""
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """By enterprise ID, of enterprises that have targets."""

    def targets_of(self, enterprise: str | None) -> tuple[str, ...]:
        """Where an enterprise's recordings go."""
        found = self.policies.get(enterprise or "")
        return found.targets if found else ()

    def erases(self, enterprise: str) -> bool:
        """Whether calls of an enterprise may be erased here because of delivery."""
        found = self.policies.get(enterprise)
        return found is not None and (found.erases or found.erases_given_up)

    def must_read_back(self, target: str, enterprise: str) -> bool:
        """Whether a checksum that the target names is not proof enough: what is erased here is read back there."""
        found = self.policies.get(enterprise)
        return self.targets[target].verify is Verify.READ_BACK or (found is not None and found.erases)

    def open_enterprises(self, local: datetime) -> tuple[str, ...]:
        """Whose deliveries are made at a local time."""
        return tuple(enterprise for enterprise, found in self.policies.items() if found.is_open(local))
