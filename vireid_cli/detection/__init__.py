"""Detection of people in videos and frames, and their crops with camera, time and box."""
