"""The demo: the nodes on a street clip."""
