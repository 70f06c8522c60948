"""A batch whose rows several processes (ranks) compute: shares, gathering, batch norms and dropout."""
