"""The inverter service: codes and a generator that reproduce the face of an alignment."""
