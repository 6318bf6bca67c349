"""Workloads and comparative timing of the attention engine."""

from headwise.benchmark.peers import PEERS
from headwise.benchmark.run import Bench, Machine, Timing, bench, machine, matrix_products
from headwise.benchmark.workloads import GROUPS, QUICK, Workload, workloads

__all__ = [
    "GROUPS",
    "PEERS",
    "QUICK",
    "Bench",
    "Machine",
    "Timing",
    "Workload",
    "bench",
    "machine",
    "matrix_products",
    "workloads",
]
