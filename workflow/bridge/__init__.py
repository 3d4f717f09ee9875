"""Keeps the two engines' ideas of what is up to date equal.

Snakemake remembers in ``.snakemake`` what made each file, DVC in ``dvc.lock``. After ``dvc pull`` or ``dvc repro``
Snakemake has no memory of the files; after a run of Snakemake DVC has none. Two steps mend that:

`adopt` (DVC to Snakemake), when Snakemake starts and ``dvc.lock`` is not the one last seen: outputs of stages that
DVC finds clean, together with all their ancestors, are certified by ``snakemake --touch``; those of the others are
marked to be made again.

`record` (Snakemake to DVC), at the end of a run, or at the next start if it was killed: ``dvc commit`` of the stages
whose outputs are made. Never of raw data, nor of what is made of outputs that are not those recorded: damage must not
become the new truth by itself, so such a run is refused. What it reads and writes is entered into DVC's own lock, so
that the two never work on the same files at once.

Without git, ``.dvc`` or DVC itself the bridge is off, and Snakemake runs alone. What a killed run leaves locked is
unlocked (`locks`) in any case. Each module imports those before it alone: `memory`, `engines`, `locks`, `commit`,
`adopt`, `record`.
"""
