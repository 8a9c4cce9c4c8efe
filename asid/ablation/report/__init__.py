"""The results of a study: statistics, tables, figures, page."""
