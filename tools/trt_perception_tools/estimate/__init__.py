"""Times on boards you do not have: kernels of a graph on the roofline of a board."""
