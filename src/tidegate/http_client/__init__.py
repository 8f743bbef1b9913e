"""HTTP as others are called with it: where a server is, the connections to it, and what can go wrong on them."""
