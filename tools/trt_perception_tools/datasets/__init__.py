"""Datasets on disk, and synthetic ones: found, read, drawn. Knows no metric and no model."""
