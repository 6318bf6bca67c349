"""Parallel work: threads within one process, and tasks on Dask workers."""
