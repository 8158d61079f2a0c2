"""`rokubox noc`: a fleet of boxes as the broker tells of them, in a terminal."""
