"""`python -m app.demo.carrier FILE`: the carrier of the demo that the file describes."""

import sys

from app.demo.carrier import run_carrier

run_carrier(sys.argv[1])
