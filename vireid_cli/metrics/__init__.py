"""Retrieval and verification metrics on plain arrays: exact, vectorised, in bounded memory."""
