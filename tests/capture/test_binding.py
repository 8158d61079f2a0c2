"""Which RTP runs belong to which call side."""
