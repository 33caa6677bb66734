"""Compares two recordings of results: a check for changes of a network, a version or a setting."""
