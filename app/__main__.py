"""`python -m app`."""

import gc

# What is loaded stays. To look for garbage in it while it grows took a fifth of a process's start.
gc.disable()
from app.cli import main  # noqa: E402

gc.freeze()
gc.enable()
main()
