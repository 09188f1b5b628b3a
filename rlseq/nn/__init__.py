"""Encoders, heads, distributions and normalisers: flax modules and pure functions."""
