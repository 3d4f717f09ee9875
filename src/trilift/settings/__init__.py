"""The sections of ``params.yaml``, one module per stage: checked without loading what the stage itself needs."""
