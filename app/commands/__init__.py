"""The commands: one function for each thing that can be done. Lists go in, and results come out in
the same order.

The page, the API, bulk sends and the workers call the same commands. Commands know neither HTTP nor
carriers, and never commit: whoever opened the transaction does.
"""
