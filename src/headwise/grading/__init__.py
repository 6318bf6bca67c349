"""Grading a class: every submission in its own confined process, judged by the checker from outside it."""
