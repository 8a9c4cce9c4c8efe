"""Looking inside a network, by observing and by intervening. Arrays out; nothing is drawn here."""
