"""Visible-infrared person re-identification: one engine, one command line."""

__version__ = "0.1.0"
