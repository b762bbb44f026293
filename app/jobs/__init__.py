"""Background work: claim rows in a short transaction, perform without one, settle in another.

The value between two steps has a type of its own, so work that is half done cannot be settled.
"""
