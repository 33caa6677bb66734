"""Looks at recordings and live topics in Rerun."""
