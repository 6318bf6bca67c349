"""The exercise sheet on self-attention: its results, derivations and report."""
