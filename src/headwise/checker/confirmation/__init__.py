"""What a function or module that is right so far does with further inputs and in other circumstances."""
