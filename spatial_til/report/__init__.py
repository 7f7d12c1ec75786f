"""A scored folder to figures and one HTML file."""
