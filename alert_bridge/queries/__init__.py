"""What the pages ask userdb, each question in a module of its own: a constant number of statements, nothing unbounded."""
