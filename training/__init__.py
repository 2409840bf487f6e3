"""How every weight file in `bundles/` is made: faces are rendered, and networks learn from them."""
