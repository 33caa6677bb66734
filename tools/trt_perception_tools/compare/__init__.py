"""Compares two recordings of results: a gate for whoever changes a network, a version or a setting."""
