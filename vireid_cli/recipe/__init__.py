"""Recipes: text in, one typed and complete experiment out; no torch."""
