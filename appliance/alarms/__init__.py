"""Alarms: what can be wrong (a closed catalogue), what is wrong (rules), and for how long (a state machine)."""
