"""python -m nas.report RUN: one self-contained HTML page of a run: candidates, stages, pictures.

result.json is written anew from the stages, of which some may have been run again since.
"""

import base64
import io
import json
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from compress.data.dataset import IGNORE
from compress.data.validation import Validation
from compress.evaluation.metrics import iou_per_class
from compress.evaluation.tflite_file import evaluate_tflite
from compress.files.atomic import write_atomically
from compress.files.records import read_json, write_record
from compress.stages.cli import parser, run_command
from compress.stages.records import require
from compress.stages.run import SEARCH, STAGES, Run, open_run
from nas.study import scored_candidates

matplotlib.use("Agg")
SHOWN = 6
VOID_COLOUR = (0, 0, 0)
TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>SlimLab: {{ name }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733 }
 h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
 table { border-collapse: collapse }
 td, th { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #d6dde5 }
 td:first-child, th:first-child { text-align: left } img { max-width: 100% }
 .key span { display: inline-block; margin-right: 1rem } .key i { display: inline-block; width: .9rem; height: .9rem;
 margin-right: .3rem; vertical-align: -1px; border: 1px solid #999 } code { overflow-wrap: anywhere; font-size: .85rem }
</style>
<h1>{{ name }}: mIoU {{ "%.4f"|format(result.miou) }} at {{ "%.2f"|format(result.latency_ms) }} ms</h1>
<p>int8 TFLite model of {{ "%.0f"|format(final.size_bytes / 1024) }} KiB for {{ result.data }} on
{{ result.target }}, budget {{ "%g"|format(result.budget_ms) }} ms, seed {{ result.seed }}.</p>
<h2>Candidates</h2>
<p>{{ result.search.trials }} scored as int8 files, {{ result.search.refused }} refused by the latency table before
any evaluation.</p>
<img alt="mIoU of candidates against predicted latency" src="data:image/png;base64,{{ scatter }}">
{% if finalists %}<h2>Finalists</h2>
<table><tr><th>genotype<th>mIoU, as a candidate<th>refined<th>weighted by latency
<th>MACs<th>latency, ms<th>predicted, ms</tr>
{% for f in finalists %}<tr><td>{{ f.id }}{% if f.id == winner %}, winner{% endif %}<td>{{ "%.4f"|format(f.miou) }}
<td>{% if f.refined_miou is defined %}{{ "%.4f"|format(f.refined_miou) }}{% else %}over the budget{% endif %}
<td>{% if f.refined_score is defined %}{{ "%.4f"|format(f.refined_score) }}{% endif %}
<td>{% if f.macs is defined %}{{ "{:,}".format(f.macs) }}{% endif %}
<td>{{ "%.2f"|format(f.latency_ms) }}<td>{{ "%.2f"|format(f.predicted_latency_ms) }}</tr>
{% endfor %}</table>
{% endif %}<h2>Stages</h2>
<table><tr><th>stage<th>mIoU<th>latency, ms<th>predicted, ms<th>parameters<th>MACs<th>size, KiB<th>time, s</tr>
{% for s in result.stages %}<tr><td>{{ s.name }}<td>{{ "%.4f"|format(s.miou) }}<td>{{ "%.2f"|format(s.latency_ms) }}
<td>{{ "%.2f"|format(s.predicted_latency_ms) }}<td>{{ "{:,}".format(s.params) }}<td>{{ "{:,}".format(s.macs) }}
<td>{{ "%.0f"|format(s.size_bytes / 1024) }}<td>{{ "%.0f"|format(s.wall_s) }}</tr>
{% endfor %}</table>
<p>mIoU over {{ images }} validation images at {{ size }}; train, prune and distill as torch networks, quantize and
export as the int8 file run by LiteRT. Latency is that of the network as int8 on the target.
{% for remark in remarks %}{{ remark }} {% endfor %}</p>
{% if curves %}<h2>Training</h2>
<img alt="loss against steps of each training" src="data:image/png;base64,{{ curves }}">
{% endif %}<h2>Validation images: image, truth, prediction of model.tflite</h2>
<p class="key">{% for class_name, colour, iou in classes %}<span><i style="background: rgb{{ colour }}"></i>
{{ class_name }} {{ "%.2f"|format(iou) }}</span>{% endfor %} (IoU)</p>
<img alt="six validation images with truth and prediction" src="data:image/png;base64,{{ pictures }}">
<h2>Genotype</h2><p><code>{{ genotype }}</code></p>
<h2>Made with</h2><p><code>{{ environment }}</code></p>
</html>
"""


def write_result(run: Run) -> dict[str, Any]:
    """RUN/result.json, from what the stages found."""
    stages = [run.metrics(name) for name in STAGES]
    final = stages[-1]
    keys = ("name", "miou", "latency_ms", "predicted_latency_ms", "params", "macs", "size_bytes", "wall_s")
    result = {
        "budget_ms": run.config.budget_ms,
        "target": run.config.target,
        "data": run.config.data,
        "seed": run.config.seed,
        "genotype": final["genotype"],
        "model": str(run.path / "model.tflite"),
        "miou": final["miou"],
        "latency_ms": final["latency_ms"],
        "predicted_latency_ms": final["predicted_latency_ms"],
        "search": read_json(run.path / "search" / "search.json", "run python -m nas.search --resume"),
        "stages": [{key: stage[key] for key in keys} for stage in stages],
    }
    write_record(run.path / "result.json", result)
    return result


def write_report(run: Run, result: dict[str, Any]) -> None:
    """Writes RUN/report.html. The pictures are made by running model.tflite."""
    network = run.network("distill")
    counts, maps = evaluate_tflite((run.path / "model.tflite").read_bytes(), network, run.validation, "report")
    ious = iou_per_class(counts).tolist()
    page = jinja2.Environment(autoescape=True).from_string(TEMPLATE)
    config = read_json(run.path / "config.json", "start the run anew")
    finalists = run.path / SEARCH / "finalists.json"  # a run of an older version has none
    html = page.render(
        name=run.path.name,
        result=result,
        final=result["stages"][-1],
        scatter=scatter(run, result),
        finalists=read_json(finalists, "start the run anew") if finalists.exists() else [],
        winner=run.genotype.id,
        curves=curves(run),
        pictures=pictures(run, maps),
        images=len(run.validation),
        size="x".join(map(str, run.config.input_size)),
        classes=list(zip(run.data.classes, run.data.colours, ious, strict=True)),
        genotype=str(network.genotype),
        environment=json.dumps(config),
        remarks=remarks(run),
    )
    write_atomically(run.path / "report.html", html.encode())


def remarks(run: Run) -> list[str]:
    """What a reader of the stages' table must know: stages that changed nothing, latencies not to be trusted.

    Args:
        run: A finished run.

    Returns:
        Sentences.
    """
    pruned, taught = (run.metrics(name) for name in ("prune", "distill"))
    marked = {name: run.metrics(name).get("busy") for name in STAGES}
    found = [f"The machine was busy while {name} was measured ({why})." for name, why in marked.items() if why]
    if not pruned["rounds"]:
        found.append(f"Nothing was pruned: {pruned['target_ms']:.2f} ms were allowed.")
    if taught["taught_miou"] is None:
        found.append("Nothing was distilled: the network had no teacher but itself.")
    if taught["undone"]:
        found.append(f"Distillation was undone: it led to mIoU {taught['taught_miou']:.4f}.")
    return found


def scatter(run: Run, result: dict[str, Any]) -> str:
    candidates = scored_candidates(run.path / "search.jsonl")
    scored = sorted(((c["predicted_latency_ms"], c["miou"]) for c in candidates), key=lambda p: p[0])
    figure = Figure(figsize=(9, 4.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(
        [p[0] for p in scored],
        [p[1] for p in scored],
        s=22,
        color="#7b8fa6",
        label="candidates, as scored",
    )
    front = [p for i, p in enumerate(scored) if all(p[1] > q[1] for q in scored[:i])]
    axes.step([p[0] for p in front], [p[1] for p in front], where="post", color="#2a6fbb", lw=1.2, label="Pareto front")
    axes.axvline(result["budget_ms"], color="#c0392b", ls="--", lw=1.2, label=f"budget {result['budget_ms']:g} ms")
    axes.scatter(result["latency_ms"], result["miou"], marker="*", s=170, color="#e08a00", label="final int8 model")
    axes.set(xlabel="latency, ms (candidates: table; final: measured)", ylabel="validation mIoU")
    axes.set_xlim(0, result["budget_ms"] * 1.08)
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize=9)
    return png(figure)


def curves(run: Run) -> str:
    """Loss against steps of the trainings whose logs are there; empty where none is."""
    logs = {stage: run.path / stage / "log.csv" for stage in (SEARCH, *STAGES)}
    trained = {stage: log for stage, log in logs.items() if log.is_file()}
    if not trained:
        return ""
    figure = Figure(figsize=(9, 2.6), dpi=110, layout="constrained")
    for axes, (stage, log) in zip(figure.subplots(1, len(trained), squeeze=False)[0], trained.items(), strict=True):
        lines = np.genfromtxt(log, delimiter=",", names=True, ndmin=1)
        axes.plot(lines["step"], lines["loss"], color="#2a6fbb", lw=1.2)
        axes.set_title("supernet" if stage == SEARCH else stage, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("loss")
    return png(figure)


def pictures(run: Run, maps: list[np.ndarray]) -> str:
    """Image, truth and prediction of images spread over the split."""
    validation: Validation = run.validation
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(run.data.colours)] = run.data.colours
    palette[IGNORE] = VOID_COLOUR
    shown = np.unique(np.linspace(0, len(validation) - 1, SHOWN).round().astype(int))
    figure = Figure(figsize=(3 * len(shown), 8.6), dpi=70, layout="constrained")
    grid = figure.subplots(3, len(shown), squeeze=False)
    for column, i in enumerate(shown):
        size = validation.masks[i].shape
        map_ = F.interpolate(torch.from_numpy(maps[i])[None, None].float(), size, mode="nearest-exact")[0, 0]
        rows = (
            validation.images[i].permute(1, 2, 0).numpy(),
            palette[validation.masks[i].numpy()],
            palette[map_.byte().numpy()],
        )
        for axes, picture in zip(grid[:, column], rows, strict=True):
            axes.imshow(picture)
            axes.set_xticks([])
            axes.set_yticks([])
        grid[0, column].set_title(run.data.val[i].image.stem, fontsize=9)
    for axes, label in zip(grid[:, 0], ("image", "truth", "prediction"), strict=True):
        axes.set_ylabel(label)
    return png(figure)


def png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    flags = parser(__doc__, "nas.report")
    flags.add_argument("run", type=Path, metavar="RUN", help="a finished run folder, such as runs/landcover-30ms")
    run = open_run(flags.parse_args().run)
    require(run, "export")
    write_report(run, write_result(run))
    print(run.path / "report.html")


if __name__ == "__main__":
    run_command(main)
