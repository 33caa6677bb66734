"""Other people's networks: read, understood, and given the package's contract."""
