"""A run whose terminal goes away, with secrets in its environment."""

import os
import signal
from pathlib import Path

from tests.helpers.command import command_on_20_images, wait_for

SECRET = "planted-secret"
ENVIRONMENT = {
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": f"{SECRET}-1",
    "WANDB_API_KEY": f"{SECRET}-2",
    "TF_CONFIG": f'{{"environment": "cloud", "token": "{SECRET}-3"}}',
    "AWS_SECRET_ACCESS_KEY": f"{SECRET}-4",
    "https_proxy": f"http://user:{SECRET}-5@127.0.0.1:9",
}


def test_nobody_reads_the_terminal_hangs_up_and_all_is_saved(tmp_path: Path) -> None:
    """As `... 2>&1 | head -2` in a connection that is lost."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = command_on_20_images(tmp_path)
    environment = ENVIRONMENT | {"TMPDIR": str(temporary)}
    process = command.start("--config.train.steps=100000", **environment)
    assert process.stdout is not None
    read = process.stdout.readline() + process.stdout.readline()
    process.stdout.close()
    run = command.folder / "run"
    wait_for(run / "checkpoints/step-8.index")
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=120) == 128 + signal.SIGHUP
    steps = [int(path.stem.split("-")[1]) for path in run.glob("checkpoints/*.index")]
    last = (run / "metrics.jsonl").read_text().splitlines()[-1]
    assert f'"step": {max(steps)},' in last
    assert not os.listdir(temporary)

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10 and "config" in read
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert SECRET not in read
