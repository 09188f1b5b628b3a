"""`sweep.vmap`: runs that differ in hyper-parameters alone, side by side in one program."""
