"""What a reader of streams needs on its side of the wire."""
