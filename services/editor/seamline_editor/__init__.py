"""The editor service: one call that runs every stage on one video."""
