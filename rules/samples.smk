"""Samples.

REQUIRED INPUTS: data/raw/{dataset}.manifest.csv and the files that it lists
OUTPUTS:         data/samples/{dataset}.h5            = windows or images, targets, ids, groups
                 data/samples/{dataset}.excluded.csv  = sample_id, reason
"""


rule extract_samples:
    """Cut windows or place images, with their targets; defects go to the exclusion table."""
    input:
        manifest=data_layout.manifest("{dataset}"),
        code=lambda w: code_of(
            "extract_samples.py",
            f"data.datasets.{config['datasets'][w.dataset]['format']}",
        ),
    output:
        samples=data_layout.samples("{dataset}"),
        excluded=data_layout.excluded("{dataset}"),
        protocol=data_layout.protocol("{dataset}"),
    log:
        "logs/data/{dataset}.samples.log",
    benchmark:
        data_layout.benchmark("{dataset}", "samples")
    conda:
        source_file("../envs/siwcc.yaml")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        protocol=dataset_protocol,
    script:
        "../workflow/scripts/extract_samples.py"
