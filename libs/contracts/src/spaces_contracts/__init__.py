"""What crosses a process boundary: messages, subjects, problems."""
