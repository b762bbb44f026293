"""The HTTP edge: parse the request, run one command or one read, render the answer.

No other room serves HTTP. A route has 3 to 8 lines; its request and answer models stand in the
same file. Callers and transactions come from `dependencies`; the commit comes before the answer.
"""
