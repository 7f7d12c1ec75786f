"""What a reader corrects on a scored slide: an append-only journal, replayed to a state, applied when scoring.

No window here: the viewer and the command line use the same functions, so they give the same numbers.
"""
