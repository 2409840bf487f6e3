"""Procedural renderer of stylised heads with exact landmarks and parsing maps."""
