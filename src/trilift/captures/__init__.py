"""What flows between the stages: schema, reading, writing, and who is trained on. Imports `project` and skeletons."""
