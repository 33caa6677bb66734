"""Networks of this package as files that an engine opens."""
