"""Recorded results as datasets, for training in other programs and for review."""
