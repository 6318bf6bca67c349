"""The set experiment: which pooling of a set learns its maximum."""
