"""The inside process: from the clone to the program's execve."""
