"""Processes many bags on many machines: pieces named by their content, run by Ray."""
