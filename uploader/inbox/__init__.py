"""The carrier's file delivery: ZIP files that are dropped here, checked, joined with calls that were seen, stored."""
