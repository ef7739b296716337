"""Many runs of one scenario: what differs between them, and what it says."""
