"""How synthetic slides are laid out, painted and written; `spatial_til.synthetic` is the entry."""
