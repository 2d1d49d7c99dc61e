# The images that launch/ sends to clouds; docs/deploying.md says how to build and push them:
#   docker build --target cpu --tag IMAGE .      or gpu, or tpu
FROM python:3.12-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1
WORKDIR /app
COPY setup.py README.md ./
COPY trainer trainer
COPY launch launch
COPY configs configs

FROM base AS cpu
RUN pip install .

# CUDA's libraries come from pip, the driver from the machine, which GKE and Vertex AI mount there.
FROM base AS gpu
RUN pip install . 'tensorflow[and-cuda]>=2.20,<2.22'
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64

# Both packages hold the module tensorflow, so one must go before the other comes. Of libtpu's
# releases 0.0.18 has the version of the PJRT API that tensorflow-tpu 2.20.0 has, 0.72.
FROM base AS tpu
RUN pip install . \
    && pip uninstall --yes tensorflow \
    && pip install tensorflow-tpu==2.20.0 libtpu==0.0.18
# From v5e on TensorFlow reaches TPUs through PJRT only.
ENV NEXT_PLUGGABLE_DEVICE_USE_C_API=true \
    TF_PLUGGABLE_DEVICE_LIBRARY_PATH=/usr/local/lib/python3.12/site-packages/libtpu/libtpu.so
