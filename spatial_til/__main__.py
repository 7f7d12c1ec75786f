"""``python -m spatial_til`` is ``spatial-til``."""

from spatial_til.cli import main

if __name__ == "__main__":
    main()
