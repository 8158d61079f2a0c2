"""How the agent asks for an update: a file with the URL, which `rokubox-update.path` waits for.

The agent has no rights beyond that. What it asks for is held against the configuration here, to answer at once, and
once more by whoever fetches it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.firmware import updatestatus
from appliance.firmware.fetching import is_allowed
from appliance.firmware.updatestatus import UNDER_WAY

REQUEST = Path("/run/rokubox/update/request")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateDesk:
    """Where updates are asked for, and where they say how they stand."""

    sources: Sequence[str]
    """URLs below which updates may lie."""
    request: Path = REQUEST
    folder: Path = updatestatus.FOLDER

    def ask(self, url: str) -> str:
        """Ask for an update from a URL; returns why that is not done, or nothing."""
        if not is_allowed(url, self.sources):
            return "not a URL below one of [update] sources"
        status = updatestatus.read(self.folder)
        if self.request.exists() or (status is not None and status.state in UNDER_WAY):
            return "an update is under way"
        draft = self.request.with_name(f".{self.request.name}")
        try:
            draft.write_text(f"{url}\n", "ascii")
            draft.rename(self.request)
        except (OSError, UnicodeEncodeError) as error:
            return f"cannot be asked for: {type(error).__name__}"
        return ""
