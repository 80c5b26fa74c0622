"""Scores of saved masks, of any program."""
