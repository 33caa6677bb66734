"""Recorded results as datasets: what other programs train on, and what people look through."""
