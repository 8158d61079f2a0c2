"""What keeps an image from a disk; each error carries the exit code of its class."""

from appliance.exitcodes import INPUT, INTERNAL, OUTPUT, PERMISSION, TOOL, USAGE


class FlashError(Exception):
    """Root of everything this package raises on purpose."""

    code = INTERNAL


class DiskChoiceError(FlashError):
    """This disk is not to be written to."""

    code = USAGE


class ImageError(FlashError):
    """The image cannot be read, or is damaged."""

    code = INPUT


class DiskError(FlashError):
    """The disk does not take what is written, or gives back something else."""

    code = OUTPUT


class RightsError(FlashError):
    """Only root may do this."""

    code = PERMISSION


class ToolMissingError(FlashError):
    """A program that is needed is not installed."""

    code = TOOL
