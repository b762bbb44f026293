"""Who may come in, and what is sealed: keys, passwords, sessions, and the sealing of secrets.

Only digests of what opens a door are kept. Statements stand in `store/access.py`.
"""
