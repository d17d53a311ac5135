"""The scored corpus of a session: looked through, cut, opened, compared, changed on purpose."""
