"""The faithfulness experiment: which attention maps predict what happens when tokens are removed."""
