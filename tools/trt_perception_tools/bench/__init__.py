"""Times of PyTorch beside those of the deployed engines."""
