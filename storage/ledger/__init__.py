"""The ledger: an append-only Merkle log of what became of every recording, with signed checkpoints."""
