"""The packaged services: their files checked, and the whole booted in a container."""
