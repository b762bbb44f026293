"""Everything stored: tables, transactions, every SQL statement, and the clock in Redis.

Each statement is a constant above the one function that runs it. Functions that write take
sequences and run set-based statements (`unnest` in, `RETURNING` out); none of them commits.
"""
