"""Merging capture files by time."""
