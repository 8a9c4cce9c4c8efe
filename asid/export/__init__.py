"""What other programs read: studies for their tools, networks for their formats."""
