"""Training where the data may not leave: what a client is asked, what it answers, and what the server makes of it."""
