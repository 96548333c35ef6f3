"""Abacus: the embedded demo models, their tasks, tokenizer, training and evaluation. Imports no torch."""
