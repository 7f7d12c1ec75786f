"""Scored slides in the formats of other tools."""
