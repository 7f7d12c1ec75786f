"""How two populations of cells lie to each other: distances, counts, G, K and mixing, with their nulls."""
