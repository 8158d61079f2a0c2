"""In what condition an archive and its disk are: what was observed, what of it is a concern, who is told."""
