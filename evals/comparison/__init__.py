"""Evaluations side by side: what differs between models, by how much, and what of it is chance."""
