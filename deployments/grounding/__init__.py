"""From words and heat maps to the mask of the target. Pure numpy: no model, no Ray."""
