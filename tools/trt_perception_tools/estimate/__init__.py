"""Estimates times on boards you do not have: the kernels of a graph under the roofline of a board."""
