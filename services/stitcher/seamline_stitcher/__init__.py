"""The stitcher service: the edit, and the seam that nobody sees."""
