"""The verb ``evaluate``."""
