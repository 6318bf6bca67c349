"""Workloads and comparative timing of the attention engine."""
