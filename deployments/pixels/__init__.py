"""Picture files, masks, regions, colours and fills: numpy in, numpy out, no model."""
