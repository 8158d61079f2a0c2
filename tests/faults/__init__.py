"""The fault matrix as a lab test: each fault injected for real, the guilty named, and nobody else."""
