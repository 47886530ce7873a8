"""The language of the project: plain values, no third-party import."""
