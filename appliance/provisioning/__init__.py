"""A box made ready by what a technician brings: configuration and keys on a medium."""
