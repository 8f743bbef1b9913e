"""JSON Web Tokens: their keys, their claims, and their principals."""
