"""Who comes in: parse, one command or one read, render. The only code that knows HTTP.

A route is 3–8 lines; its request and answer models stand in the same file. Callers and
transactions come from `dependencies`; the commit comes before the answer leaves.
"""
