"""The index of the archive in SQLite: everything found in a moment, derived from the files and the ledger alone."""
