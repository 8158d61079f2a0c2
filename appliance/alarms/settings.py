"""`[alarms]`: what is good enough. Pure."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Share = Annotated[float, Meta(ge=50, le=100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """`[alarms]`: what is good enough."""

    completeness_percent: Share = 99.5
    """Of the speech that is wanted, in the archive, over an hour; less is an alarm."""
    capture_completeness_percent: Share = 99.99
    """The same, counting what the recorder itself lost alone."""
