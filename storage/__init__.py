"""Finished recordings on disk: parts, call records, the archive's layout."""
