"""The report of a study: a page with tables, plots and panels."""
