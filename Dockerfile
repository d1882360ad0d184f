# The book's environment for machines without an MXNet wheel of their own (Windows, Apple silicon),
# on x86-64 and aarch64:
#   docker build -t nnbook .
#   docker run --rm -p 8888:8888 nnbook              # then open the address that it prints
#   docker run --rm nnbook make test
FROM python:3.13-slim-bookworm

# make, and what the wheel of MXNet expects of the system. The aarch64 wheel links the Arm Performance
# Libraries but calls nothing that is not also in LAPACKE, OpenBLAS and the C library, which stand in
# under their names.
RUN apt-get update \
    && apt-get install -y --no-install-recommends make libgomp1 \
    && if [ "$(dpkg --print-architecture)" = arm64 ]; then \
        apt-get install -y --no-install-recommends libopenblas0-pthread liblapacke \
        && cd /usr/lib/aarch64-linux-gnu \
        && ln -s liblapacke.so.3 libarmpl_lp64_mp.so \
        && ln -s libm.so.6 libamath.so \
        && ln -s libm.so.6 libastring.so; \
    fi \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home reader && mkdir /book && chown reader /book
USER reader
WORKDIR /book

# The environment first: it is made anew only when the lock changes.
COPY --chown=reader Makefile requirements.lock ./
RUN make .venv/.lock PYTHON=python3.13
COPY --chown=reader . .
RUN make env && .venv/bin/python -m nnbook doctor --no-speed

ENV PATH="/book/.venv/bin:$PATH"
EXPOSE 8888
CMD ["make", "lab", "LAB_OPTIONS=--ip=0.0.0.0 --port=8888 --no-browser"]
