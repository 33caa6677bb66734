"""Imports third-party networks and adapts them to the package's contract."""
