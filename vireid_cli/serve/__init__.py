"""HTTP server: search with images, embeddings and records as JSON, and one page for people."""
