"""The rules and values of the product, without I/O, framework or SQL.

Everything here is a pure function or a frozen value, so any room may use it. Besides the standard
library it imports only `phonenumbers`.
"""
