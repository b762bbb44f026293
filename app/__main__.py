"""`python -m app`."""

import gc

# Imported modules stay in memory. Searching them for garbage took a fifth of the start-up time.
gc.disable()
from app.cli import main  # noqa: E402

gc.freeze()
gc.enable()
main()
