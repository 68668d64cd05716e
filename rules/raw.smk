"""Raw data.

REQUIRED INPUTS: none (a local folder, the network, or synthetic data; see `datasets` in config.yaml)
OUTPUTS:         data/raw/{dataset}.manifest.csv = file, bytes, sha256

A local copy (`datasets.<name>.path`) is read in place: no file in or below it is an input or an
output of any rule. Downloads go to data/raw/{dataset}/, and what is there already is kept. An edited
table of a `format: folder` set is a changed parameter.
"""

hold_data()


rule provide_raw:
    """Download, make up, or find the raw files of a data set, and list them."""
    input:
        code=lambda w: code_of(
            "provide_raw.py",
            f"data.datasets.{config['datasets'][w.dataset]['format']}",
        ),
    output:
        manifest=data_layout.manifest("{dataset}"),
    log:
        "logs/data/{dataset}.raw.log",
    benchmark:
        data_layout.benchmark("{dataset}", "raw")
    localrule: True
    conda:
        source_file("../envs/siwcc.yaml")
    params:
        synthetic=lookup(dpath="datasets/{dataset}/synthetic", within=config),
        table=table_digest,
    script:
        "../workflow/scripts/provide_raw.py"
