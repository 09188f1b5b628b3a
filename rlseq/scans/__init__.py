"""Scan engines: arrays in, arrays out, no flax. Each handles resets for every core above it."""
