"""The cases are read by test_wild.py; some of them need torch to be imported."""

collect_ignore = ["cases"]
