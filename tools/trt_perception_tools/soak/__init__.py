"""Runs the whole node on a clip for a while, injects faults, and holds it to a budget."""
