"""What ``from harness import …`` offers: a function for each command, and results that notebooks can show."""
