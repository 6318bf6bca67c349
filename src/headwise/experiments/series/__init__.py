"""The time-series experiment: a transformer with and without pre-training against DTW and ROCKET."""
