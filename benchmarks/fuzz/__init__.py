"""Damaged and hostile files for every parser: each is read, or refused with one of our errors, and nothing else."""
