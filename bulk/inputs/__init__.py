"""The formats of inputs: objects to rows. A row that cannot be read as a row is a problem with a place, not an exception."""
