"""What edits do to the codes of a face."""
