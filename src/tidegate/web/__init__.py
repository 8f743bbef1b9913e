"""The pages: plain HTML, CSS and ES modules, served as they are."""
