# The environment of requirements.lock, with the package and the workflow in it: docs/how-to/cluster.md.
#   docker build --tag siwcc .        (apptainer.def makes an Apptainer image of it)
FROM python:3.12-slim-bookworm

# g++ and the C library's headers: torch compiles the training step at run time (train.compile).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/siwcc
# The same two steps as `make setup`: torch first, without a hash, as its file differs by platform.
COPY requirements.lock ./
RUN pip install --no-cache-dir "torch==2.13.0" \
    && pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE Snakefile config.yaml ./
COPY siwcc ./siwcc
COPY rules ./rules
COPY workflow ./workflow
COPY profiles ./profiles
COPY envs ./envs
COPY resources ./resources
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

# A study runs in the folder that is mounted here.
WORKDIR /study
ENTRYPOINT ["snakemake", "--snakefile", "/opt/siwcc/Snakefile"]
