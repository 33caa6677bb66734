"""Times on boards that are not here: kernels of a graph on the roofline of a board."""
