"""CD8+ and PD-L1+ cells in tumour core and invasive margin, scored the same way at every biopsy."""
