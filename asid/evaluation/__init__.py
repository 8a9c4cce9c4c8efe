"""From weights to scores: inference, the protocol, checks against known numbers."""
