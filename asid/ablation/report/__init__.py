"""What came out: statistics, tables, figures, page."""
