"""`kill -9` of the commands that make a stage, as real processes."""

import shutil
import time
from pathlib import Path

import pytest
import torch
from commands import process
from stage_runs import metrics

from compress.files.tensors import load_network
from compress.stages.records import is_done
from compress.stages.run import STAGES, open_run

MOMENTS = (0.5, 0.7, 0.85, 0.95)  # of the seconds that the stage takes when it is left alone


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_at_any_moment_is_made_by_the_same_command(whole: Path, tmp_path: Path, stage: str) -> None:
    runs = [open_run(Path(shutil.copytree(whole, tmp_path / name))) for name in ("alone", "killed")]
    alone, killed = runs
    goal = 0.7 * metrics(alone, "train")["predicted_latency_ms"]
    flags = {
        "prune": ["--rounds", "2", "--target-ms", str(goal)],
        "distill": ["--teacher", "largest"],  # `whole` was not pruned: taught by itself it would be left as it is
        "quantize": ["--qat-steps", "4"],
    }
    more = flags.get(stage, [])
    first, command = ([f"compress.{stage}", str(run.path), *more] for run in runs)
    begun = time.monotonic()
    uninterrupted = process(first, tmp_path)
    said, _ = uninterrupted.communicate(timeout=600)
    assert uninterrupted.returncode == 0, said
    seconds = time.monotonic() - begun
    before = [killed.path / name / "metrics.json" for name in STAGES[: STAGES.index(stage)]]
    kept = [file.read_bytes() for file in before]
    for moment in MOMENTS:
        dying = process(command, tmp_path)
        time.sleep(moment * seconds)
        dying.kill()
        dying.communicate()
    ended = process(command, tmp_path)
    said, _ = ended.communicate(timeout=600)
    assert ended.returncode == 0, said
    assert is_done(killed, stage)
    assert [file.read_bytes() for file in before] == kept
    if stage == "prune":  # asks the clock whether a step was worth it
        assert metrics(killed, stage)["predicted_latency_ms"] <= goal
    elif killed.made(stage).suffix == ".pt":
        weights, expected = (load_network(run.made(stage)).state_dict() for run in (killed, alone))
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
    else:
        assert killed.made(stage).read_bytes() == alone.made(stage).read_bytes()
