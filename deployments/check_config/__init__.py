"""Check Serve config files for what Ray Serve would silently ignore or only find out later.

Ray Serve's schema is lenient: a key that it does not know, at any level, is dropped without a word. This refuses
unknown keys everywhere, and wrong values, import paths, deployments, settings, models, GPU shares and time limits.

    python -m deployments.check_config serve_config.yaml
"""
