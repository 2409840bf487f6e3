"""The contract, generated from protos/seamline/v1 by protos/generate.py; never edited."""
