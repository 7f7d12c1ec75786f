"""What no summary of this package may be read without."""

from __future__ import annotations

#: Printed in every summary and report, in this order.
CAVEATS = (
    "CD8+ cells may be bystanders: that they are there does not show that they recognise the tumour.",
    "That defects of interferon signalling cause CD8+ cells to be excluded is not established.",
    "Intervals are within slides: differences between blocks and the error of cut-offs come on top.",
    "Sampling alone misclassifies about a quarter of small biopsies (Obeid 2017, doi:10.1007/s00262-016-1908-4).",
    "For research, not for diagnosis.",
)
