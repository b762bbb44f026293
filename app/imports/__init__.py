"""Imports of CSV files: how a file is read, what its columns mean, how its rows are judged and written.

The command line and the worker run the same imports; the page shows how a file would be read.
"""
