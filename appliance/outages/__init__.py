"""Outages for service levels: when one began, was noticed, told, reported, over; and what a month came to."""
