"""A power cut: the disk of a box that records, as it is when the power goes at any instant."""
