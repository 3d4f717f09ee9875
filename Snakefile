# Snakemake's door to the workflow; the catalogue of Snakemake looks for workflow/Snakefile.
include: "workflow/Snakefile"


workflow.default_target = "all"  # that of an included file does not count
