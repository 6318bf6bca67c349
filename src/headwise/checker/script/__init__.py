"""Attention that a script or a notebook computes in statements outside functions, as functions that can be checked."""

from headwise.checker.script.functions import ScriptFunction, functions_of_script, has_softmax

__all__ = ["ScriptFunction", "functions_of_script", "has_softmax"]
