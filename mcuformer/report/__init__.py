"""What a run found: measured on the test part, printed as tables, and shown as a page."""
