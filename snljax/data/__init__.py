"""Data models of the papers."""
