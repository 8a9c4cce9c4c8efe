"""The results of a study: tables, figures, page."""
