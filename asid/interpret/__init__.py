"""Looking inside a network: attention maps, effective receptive field, local attribution. Arrays in, arrays out; plots apart."""
