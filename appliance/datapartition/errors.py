"""What can be wrong with the data partition, or with what was brought for it."""


class DataPartitionError(Exception):
    """Root of what this package raises on purpose; one line that says what is wrong and what to do."""


class TableError(DataPartitionError):
    """No copy of the partition table can be used."""


class MediumError(DataPartitionError):
    """What is on the stick cannot be used as it is."""


class LockedError(DataPartitionError):
    """A key does not open the data partition."""
