"""Parameter-efficient fine-tuning against everything else: the protocol, its methods and its suites."""
