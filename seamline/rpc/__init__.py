"""What every service shares at its gRPC edge: server, errors, stages, metrics and logs."""
