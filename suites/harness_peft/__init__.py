"""Parameter-efficient fine-tuning compared with everything else: protocol, methods and suites."""
