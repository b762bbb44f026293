"""The Conversations page (contract 9): pages and forms for signed-in people. Reading and
sending work without script; every write is a form that ends in a redirect."""
