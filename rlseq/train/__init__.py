"""The host side of training: loop, evaluation, checkpoints, logs, devices."""
