"""What is kept: tables, transactions, and every SQL statement.

Each statement is a named constant above the one function that runs it. Writing functions
take sequences and run set-based statements (`unnest` in, `RETURNING` out); none commits.
"""
