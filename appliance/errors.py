"""Errors of the composition root; only the command line maps them to exit codes."""


class ApplianceError(Exception):
    """Root of everything this package raises on purpose."""


class ToolMissingError(ApplianceError):
    """A program that the job needs is not installed."""


class ToolFailedError(ApplianceError):
    """A program that the job needs ended with an error and without an answer."""


class ConfigurationError(ApplianceError):
    """The configuration cannot be used; one line for every problem."""


class SnapshotError(ApplianceError):
    """A snapshot of assembly's state cannot be used."""


class AlreadyRunningError(ApplianceError):
    """Another process does this job on the same archive; the message names its pid."""


class RequestError(ApplianceError):
    """The archive's owner was asked something it does not understand, or gave no answer that can be understood."""


class StateFileError(ApplianceError):
    """The agent's file cannot be read or written at present."""


class CertificateError(ApplianceError):
    """A certificate or key that cannot be used; the message says which file and why."""


class MediumError(ApplianceError):
    """A medium with a configuration is not taken; the message says why."""


class FirmwareError(ApplianceError):
    """The box's own software cannot be changed or asked about; the message says why."""


class BundleError(FirmwareError):
    """An update bundle that this box does not take."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """One word of `appliance.firmware.updatestatus.Reason`."""
