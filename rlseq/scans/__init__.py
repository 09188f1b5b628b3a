"""Scan engines: arrays in, arrays out, no flax. Each handles resets once, for every core above it."""
