"""The compiled engine: attention kernels for numba, written for vector registers and caches."""
