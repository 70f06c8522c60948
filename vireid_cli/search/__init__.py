"""Indexes of embeddings: vectors searched by FAISS with records in SQLite, or a Qdrant server. No torch."""
