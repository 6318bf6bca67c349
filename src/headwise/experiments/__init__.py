"""Experiments that can be resumed: plan, run, findings and figures."""
