"""Baseline methods, one file each. A new file needs no registration."""
