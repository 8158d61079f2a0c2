"""The composition root: configuration, assembly, and the commands a person runs."""
