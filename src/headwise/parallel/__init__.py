"""Parallel work: threads within one process, and tasks on processes or Dask workers."""

from headwise.parallel.tasks import run_tasks
from headwise.parallel.threads import limit_threads, num_threads, parallel_for, single_threaded_blas

__all__ = ["limit_threads", "num_threads", "parallel_for", "run_tasks", "single_threaded_blas"]
