"""The windows: the only files that know napari and Qt. They show what the other files decide."""
