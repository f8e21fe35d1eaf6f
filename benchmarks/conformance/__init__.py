"""Does a server keep to the OpenAI contract of image edits? `python -m benchmarks.conformance --base-url URL` says so.

It asks any server, over HTTP alone, and needs `openai`, `httpx` and `pillow`.
"""
