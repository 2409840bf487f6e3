"""Seamline's aligner service: finds the face to edit in every shot and cuts smooth, aligned crops."""
