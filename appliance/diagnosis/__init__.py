"""Whose fault it is: what was observed, what follows from it, how it is told."""
