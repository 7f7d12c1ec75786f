"""Where the stages meet, and nowhere else: measure, threshold, score, compare.

A package rather than one file, since each stage is one idea; each module is named after its stage.
"""
