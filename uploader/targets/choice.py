"""The target for a URL's scheme. What a protocol needs is loaded when there is a target that speaks it."""

from uploader.settings import Scheme, TargetSettings
from uploader.targets.contract import Target


def target(settings: TargetSettings) -> Target:
    """The target that the settings describe."""
    match settings.scheme:
        case Scheme.FILE:
            from uploader.targets.directory import DirectoryTarget

            return DirectoryTarget(settings)
        case _:
            raise NotImplementedError(settings.scheme)
