# Snakemake's door to the workflow; the catalogue of Snakemake looks for workflow/Snakefile.
include: "workflow/Snakefile"
