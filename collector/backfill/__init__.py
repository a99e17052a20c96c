"""Documents of the past, from folders and git histories, and the archive as a folder that others can read."""
