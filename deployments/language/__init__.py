"""English: what a phrase names, which one of several it means, and what an instruction asks for."""
