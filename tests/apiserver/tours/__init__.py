"""Scripted tours of the API, one a client: what a user of that client does with everything that is served."""
