"""A confined process for a submission, and proxies for its functions in the grader's process."""

from headwise.grading.sandbox.process import Limits, Proxy, Sandbox, SubmissionError, printable

__all__ = ["Limits", "Proxy", "Sandbox", "SubmissionError", "printable"]
