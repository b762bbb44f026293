"""What is true: rules and values of the conversation, without I/O, framework or SQL.

Everything here is a pure function or a frozen value, so that any room may rely on it.
It imports the standard library and `phonenumbers`, nothing else.
"""
