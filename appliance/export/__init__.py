"""Copies of recordings for people outside: as they lie in the archive with proofs, or treated for a listener."""
