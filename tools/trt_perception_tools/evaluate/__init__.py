"""Accuracy of the deployed pipeline."""
