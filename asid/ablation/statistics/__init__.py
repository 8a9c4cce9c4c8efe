"""What the seeds of a study say: tests, looks and power. No torch in here."""
