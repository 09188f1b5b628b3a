"""Many runs as one piece of work: which they are, how far each is, and running what is missing."""
