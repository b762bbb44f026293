"""What can be done: one verb a function, from things to results in the same order.

The page, the API, bulk and the worker call the same ones. They know neither HTTP nor a
carrier's name, and they never commit: whoever opened the transaction does.
"""
