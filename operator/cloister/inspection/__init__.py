"""What is said to a model and by it, judged. Pure: no files, no clock, no chance; one text gives one finding."""
