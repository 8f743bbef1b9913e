"""JSON Web Tokens: their keys, their claims, and whose they are."""
