"""The metrics service: identity over time, the seam, and the effect asked for."""
