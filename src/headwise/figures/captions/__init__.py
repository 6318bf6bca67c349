"""One caption for each kind of figure: what is shown, how to read it, what it says, what it does not.

Every statement is a rule over measured numbers; another model gets another caption.
"""
