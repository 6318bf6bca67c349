"""The numerical operations of the layers: NumPy and numba versions behind one dispatcher."""
