"""Experience on the device: rings of rows, one of them an environment, and samplers over them."""
