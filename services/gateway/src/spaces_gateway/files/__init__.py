"""Files: stored as they stream in, checked by their content, handed out by signed addresses."""
