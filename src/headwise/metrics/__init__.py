"""Measures: arrays in, numbers out. Nothing here knows a model."""
