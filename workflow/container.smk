# The study with every job inside the image siwcc.sif beside the Snakefile (Dockerfile, apptainer.def):
#   snakemake --snakefile workflow/container.smk --software-deployment-method apptainer --cores all
container: f"{workflow.current_basedir}/../siwcc.sif"


include: "../Snakefile"


# An included file's default target does not count.
rule study:
    """All that the Snakefile one folder up names."""
    default_target: True
    input:
        rules.all.input,
