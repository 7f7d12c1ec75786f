"""The viewer: a pathologist sees a scored slide, corrects it, and the numbers follow.

Only `plugin.widgets` knows napari and Qt. What is shown and what an edit does is decided by the other files,
which are tested without a window.
"""
