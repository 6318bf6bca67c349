"""A confined process for a submission, and proxies for its functions in the grader's process."""

from headwise.grading.sandbox.process import (
    ENVIRONMENT,
    Limits,
    Proxy,
    Sandbox,
    SubmissionError,
    early_imports,
    printable,
)

__all__ = ["ENVIRONMENT", "Limits", "Proxy", "Sandbox", "SubmissionError", "early_imports", "printable"]
