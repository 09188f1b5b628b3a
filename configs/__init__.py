"""Hydra configuration files (data only)."""
