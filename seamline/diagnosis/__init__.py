"""What a service looks at when asked whether it has what it needs. No check raises: what is wrong is its finding."""
