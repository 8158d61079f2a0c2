"""The nightly backup of settings, ledger, index and logs, and the way back."""
