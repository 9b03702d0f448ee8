"""Three spaces served by real models, and one request through each."""
