"""Measures PyTorch beside the deployed engines."""
