"""Real data: digits, pictures of digits, and named arrays."""
