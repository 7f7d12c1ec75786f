"""Files to model types and back: slides, annotations, cells, tables, exports."""
