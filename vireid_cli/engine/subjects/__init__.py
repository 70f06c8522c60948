"""What figures and reports are drawn from."""
