"""The error that ends a command with one sentence for its user."""


class UserError(Exception):
    """Something that the user, or the owner of the machine, has to change; the text says what. Exit status 2."""
