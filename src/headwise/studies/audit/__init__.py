"""Do attention maps mean anything? Every kind of map judged by what the model answers without the tokens it names."""
