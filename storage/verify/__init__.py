"""Checking an archive: files, ledger, signatures and index against each other."""
