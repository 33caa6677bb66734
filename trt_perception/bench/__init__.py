"""Measures the deployed pipelines and nodes: times, and what makes them repeatable. The runtime does not need it."""
