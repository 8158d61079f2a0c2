"""The target for a URL's scheme. What a protocol needs is loaded when there is a target that speaks it."""

from uploader.settings import Scheme, TargetSettings
from uploader.targets.contract import Patience, Target

_PATIENCE = Patience()


def target(settings: TargetSettings, patience: Patience = _PATIENCE, proxy: str = "") -> Target:
    """The target that the settings describe; `proxy`: URL of an HTTP proxy, for those that speak HTTP."""
    match settings.scheme:
        case Scheme.FILE:
            from uploader.targets.directory import DirectoryTarget

            return DirectoryTarget(settings)
        case Scheme.SFTP:
            from uploader.targets.sftp import SftpTarget

            return SftpTarget(settings, patience)
        case Scheme.HTTPS:
            from uploader.targets.put import PutTarget

            return PutTarget(settings, patience, proxy)
        case Scheme.DAVS:
            from uploader.targets.webdav import WebdavTarget

            return WebdavTarget(settings, patience, proxy)
        case Scheme.S3:
            from uploader.targets.s3 import S3Target

            return S3Target(settings, patience, proxy)
        case Scheme.SMB:
            from uploader.targets.smb import SmbTarget

            return SmbTarget(settings, patience)
