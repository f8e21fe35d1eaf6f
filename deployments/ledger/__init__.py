"""The deployment that remembers which requests are being answered, and the answers that may be asked for again."""
