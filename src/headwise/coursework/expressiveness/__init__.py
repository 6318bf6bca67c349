"""Neither one head nor several are the more expressive: constructions and fits."""
