"""What every part stands on: files, Parquet, progress, text."""
