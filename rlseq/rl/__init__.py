"""Returns, losses and schedules: pure functions of arrays."""
