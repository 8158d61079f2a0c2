"""What an export does to a recording. The archive is not touched, and a treated copy says that it is one."""

from dataclasses import dataclass
from enum import StrEnum


class Encoding(StrEnum):
    """How the samples of a treated WAV are stored."""

    PCM16 = "pcm16"
    PCMU = "pcmu"
    PCMA = "pcma"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What is asked for; nothing by default: recordings as they are."""

    mix: bool = False
    """Both sides in one channel, each at half its level so that nothing clips."""
    conceal: bool = False
    """Lost packets concealed (ITU-T G.711 Appendix I)."""
    encoding: Encoding | None = None
    """None: linear samples when anything else is asked for."""
    mask_keys: bool = False
    """Silence where keys were pressed, by event or by tone, and no digits in the metadata."""
    redact: bool = False
    """No numbers, names and SIP addresses, not in file names either."""
    cut_s: tuple[float, float] | None = None
    """Only this stretch of the call, seconds from its sample 0."""

    @property
    def alters(self) -> bool:
        """Whether recordings do not stay as they are."""
        return self != Treatment()

    @property
    def hides(self) -> bool:
        """Whether something must not be seen or heard: the originals stay out of the bundle then."""
        return self.mask_keys or self.redact or self.cut_s is not None

    def options(self) -> dict[str, str]:
        """What is asked for in a few words, for the ledger."""
        said = {name: "yes" for name in ("mix", "conceal", "mask_keys", "redact") if getattr(self, name)}
        if self.encoding is not None:
            said["encoding"] = self.encoding.value
        if self.cut_s is not None:
            said["cut_s"] = f"{self.cut_s[0]:g}-{self.cut_s[1]:g}"
        return said
