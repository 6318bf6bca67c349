"""TODO faithfulness."""
