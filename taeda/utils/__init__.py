"""Helpers that are not part of training a model: files, checkpoints, pictures."""
