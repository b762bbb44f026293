"""The Conversations page (`docs/contract.md`, section 9): pages and forms for signed-in people.

Reading and sending work without JavaScript. Every write is a form that ends in a redirect."""
