"""`python -m rlseq`."""

import sys

from rlseq.cli import main

sys.exit(main())
