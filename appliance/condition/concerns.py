"""What may be wrong with an archive and its disk: a closed list. Pure."""

from enum import StrEnum


class Concern(StrEnum):
    """What may be wrong."""

    LEDGER_FAULT = "ledger_fault"
    """Nothing is entered in the ledger, or it is not what it was. Parts: books, checkpoint, scrub, writing."""
    INDEX_FAULT = "index_fault"
    """The index is behind, or cannot be used; it can be made anew."""
    BIT_ROT = "bit_rot"
    """A stored file is altered, missing, or one too many."""
    SCRUB_FAILED = "scrub_failed"
    """The archive cannot be read again as it should be."""
    DISK_SPACE = "disk_space"
    """Less is free than is to stay free; part retention: more cannot be made."""
    DISK_REFUSES = "disk_refuses"
    """A recording waits for the disk."""
    DISK_HEALTH = "disk_health"
    """The disk says of itself that it is failing, or worn, or hot."""
    DISK_LATENCY = "disk_latency"
    """The disk takes long for what is written."""
    DAYS_UNTIL_FULL = "days_until_full"
    """Soon the disk will be so full that recordings have to go before their time, or new ones find no room."""
    CLOCK_UNCONFIRMED = "clock_unconfirmed"
    """Nothing is erased by age, because nobody knows what time it is."""
    RETENTION_FAILED = "retention_failed"
    """Erasing did not go as it should. Parts: run, keeping."""
    CONTRACT_OVERDUE = "contract_overdue"
    """Recordings outlive their contract's end."""
    BACKUP_FAILED = "backup_failed"
    """The last backup was not made."""
