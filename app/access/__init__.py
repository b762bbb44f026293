"""Authentication (API keys, passwords, sessions), and the sealing of secrets.

Keys, passwords and tokens are stored only as digests or hashes. The statements are in
`store/access.py`.
"""
