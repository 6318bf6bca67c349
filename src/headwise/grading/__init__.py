"""Grading of a class's submissions: sandboxed runs, rubrics, grades and feedback pages."""

from headwise.grading.class_stand_in import is_class
from headwise.grading.feedback import check_feedback_folder, student_page, write_feedback
from headwise.grading.grade_class import ClassGrades, Group, grade_class
from headwise.grading.grade_submission import Grade, Mark, TaskGrade, grade_submission
from headwise.grading.rubric import PROPERTIES, Rubric, Task, default_rubric, read_rubric
from headwise.grading.sandbox import Limits, Sandbox, SubmissionError
from headwise.grading.submissions import Submission, read_class, read_submission, uses_torch

__all__ = [
    "PROPERTIES",
    "ClassGrades",
    "Grade",
    "Group",
    "Limits",
    "Mark",
    "Rubric",
    "Sandbox",
    "Submission",
    "SubmissionError",
    "Task",
    "TaskGrade",
    "check_feedback_folder",
    "default_rubric",
    "grade_class",
    "grade_submission",
    "is_class",
    "read_class",
    "read_rubric",
    "read_submission",
    "student_page",
    "uses_torch",
    "write_feedback",
]
