"""tidegate: every answer of a model is a log on the server, followed by any number of readers."""
