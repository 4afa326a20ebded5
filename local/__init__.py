"""The whole chain on one machine: its programs, secrets, processes, inbox and sample tenant. Called by the Makefile."""
