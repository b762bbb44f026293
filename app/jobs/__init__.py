"""What happens later: claim in one short transaction, perform with none, settle in one.

The value between the steps is a type, so that a half-done thing cannot be recorded as done.
"""
