"""What an experiment would take, before anything runs: tokens, FLOPs, memory, time and price."""
