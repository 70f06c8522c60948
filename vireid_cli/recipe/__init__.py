"""Recipes: parsing and validation of YAML files to typed experiments, without torch."""
