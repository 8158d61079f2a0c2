"""Processes kept running: what systemd does for its units, for `rokubox record` in the foreground."""
