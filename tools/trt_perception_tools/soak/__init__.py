"""Runs the whole node on a clip for a while, injects faults, and checks it against limits."""
