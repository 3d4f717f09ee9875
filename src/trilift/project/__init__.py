"""What a project is: its stages, files, settings, records and locks. Imports nothing of the other rooms."""
