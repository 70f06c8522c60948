"""A batch that several processes (ranks) compute by rows: shares, gathering, batch norms and dropout."""
