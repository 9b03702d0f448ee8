"""What a process needs to start, stay healthy, talk and stop."""
