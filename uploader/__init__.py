"""Delivery of finished recordings to the customer's systems."""
