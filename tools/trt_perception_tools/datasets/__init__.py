"""Data sets, recorded and synthetic. Independent of metrics and models."""
