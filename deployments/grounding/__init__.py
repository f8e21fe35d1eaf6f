"""From words and heat maps to the mask of what is meant. Pure numpy: no model, no Ray."""
