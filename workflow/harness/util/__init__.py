"""Helpers for every layer: errors, paths, atomic files, hashes, locks, queries to SLURM."""
