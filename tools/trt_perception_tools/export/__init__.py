"""Exports networks as files that an engine opens."""
