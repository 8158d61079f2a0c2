"""Signal processing on numpy arrays, pure: G.711, the time line, quality figures."""
