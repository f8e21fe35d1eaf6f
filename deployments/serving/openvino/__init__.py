"""OpenVINO, which runs models on a CPU: how it is loaded, how modules become its own, and where those are kept."""
