"""Recorded experience in files: whole episodes that a policy played, to learn from offline."""
