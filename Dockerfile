# The demo in a container. CI does not build this file.
#
#     docker build --tag agegender-bench .
#     docker run --name demo agegender-bench && docker cp demo:/bench/reports .
#
# Commands of your own, on your data:
#
#     docker run --rm --volume /path/to/data:/bench/data agegender-bench .venv/bin/agegender prepare data=utkface ...
FROM python:3.13-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home bench \
    && install --directory --owner bench --group bench /bench
USER bench
WORKDIR /bench
COPY --chown=bench:bench . .

# torch for the CPU. `make` installs with constraints.txt.
ENV PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN make .venv/.installed

CMD ["make", "demo"]
