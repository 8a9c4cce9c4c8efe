"""Looking inside a network: attention maps, receptive field, local attribution. Arrays out; nothing is drawn here."""
