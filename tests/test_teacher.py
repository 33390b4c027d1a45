"""Teachers from files of every kind, and the files that are refused."""

import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Command, run_stage
from conftest import tiny_of
from made_data import CLASSES
from torch import Tensor, nn
from torch.export import Dim

from compress.distillation.teachers import open_teacher
from compress.files.atomic import digest
from compress.files.tensors import save_network
from compress.stages.config import RunConfig
from compress.stages.run import Run
from compress.stages.teaching import open_run_teacher
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network


class Foreign(nn.Module):
    """Somebody's segmentation network: any image size, half the resolution."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.conv(images * 2 - 1)
        return logits


class ClassMap(Foreign):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).argmax(1)


IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
ANY_SIZE = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, folder_data: Path, tiny: Genotype) -> Run:
    run = Run(
        tmp_path_factory.mktemp("run"),
        RunConfig(budget_ms=50, data=f"folder:{folder_data}", input_size=(64, 96), preset="toy"),
    )
    torch.manual_seed(0)
    save_network(Network(tiny), run.made("train"))
    return run


@pytest.fixture(scope="module")
def foreign() -> Foreign:
    torch.manual_seed(1)
    return Foreign().eval()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, foreign: Foreign) -> Path:
    path = tmp_path_factory.mktemp("program") / "teacher.pt2"
    torch.export.save(torch.export.export(foreign, (IMAGES,), dynamic_shapes=(ANY_SIZE,)), path)
    return path


def write_onnx(module: nn.Module, path: Path) -> None:
    torch.onnx.export(module, (IMAGES,), path, dynamic_shapes=(ANY_SIZE,), dynamo=True, verbose=False)


def test_torchscript_teaches(run: Run, foreign: Foreign, tmp_path: Path) -> None:
    torch.jit.trace(foreign, IMAGES).save(tmp_path / "teacher.pt")
    assert torch.equal(open_run_teacher(run, str(tmp_path / "teacher.pt"))[0](IMAGES), foreign(IMAGES))


def test_an_exported_program_teaches(run: Run, foreign: Foreign, program: Path) -> None:
    torch.testing.assert_close(open_run_teacher(run, str(program))[0](IMAGES), foreign(IMAGES))


def test_onnx_teaches(run: Run, foreign: Foreign, tmp_path: Path) -> None:
    write_onnx(foreign, tmp_path / "t.onnx")
    made = open_run_teacher(run, str(tmp_path / "t.onnx"))[0](IMAGES)
    torch.testing.assert_close(made, foreign(IMAGES), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["torchscript", "exported program", "onnx"])
def test_distilling_from_a_file_of_ones_own(
    whole: Path, tmp_path: Path, command: Command, foreign: Foreign, program: Path, kind: str
) -> None:
    """`python -m compress.distill RUN --teacher FILE`, on a finished run."""
    copy, file = Path(shutil.copytree(whole, tmp_path / "copy")), tmp_path / "own.onnx"
    if kind == "torchscript":
        torch.jit.trace(foreign, IMAGES).save(file := tmp_path / "own.pt")
    elif kind == "exported program":
        file = program
    else:
        write_onnx(foreign, file)
    code, _, err = run_stage(command, "distill", copy, "--teacher", file, "--loss", "kl,cwd")
    assert code == 0, err
    found = json.loads((copy / "distill" / "metrics.json").read_text())
    assert (found["teacher"], found["teacher_digest"]) == (str(file), digest(file))


def test_a_network_file_teaches_as_the_runs_own_does(run: Run, tmp_path: Path) -> None:
    shutil.copyfile(run.made("train"), tmp_path / "network.pt")
    named, digest = open_run_teacher(run, str(tmp_path / "network.pt"))
    own, same = open_run_teacher(run, "train")
    assert digest == same
    with torch.inference_mode():
        assert torch.equal(named(IMAGES), own(IMAGES))


def script(module: nn.Module) -> Callable[[Path], None]:
    return lambda path: torch.jit.trace(module, IMAGES).save(path)


def write_misfit(path: Path) -> None:
    """A file with the genotype of a network of ours and the tensors of another program."""
    genotype = json.dumps(tiny_of("deeplabv3plus").to_dict())
    torch.save({"genotype": genotype, "weights": Foreign().state_dict()}, path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.write_bytes(b"nothing"), "no kind of file that can teach"),
        (lambda path: path.write_bytes(b"PK\x05\x06" + bytes(18)), "no kind of file that can teach"),
        (script(Foreign(classes=7)), r"gives float32 \(2, 7, 32, 32\) for 2 images"),
        (script(ClassMap()), r"gives int64 \(2, 32, 32\) for 2 images, .* ends before the argmax"),
        (script(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))), "gives float32"),
        (lambda path: torch.save({"weights": torch.zeros(2)}, path), "not a network of this version"),
        (lambda path: torch.save([torch.zeros(2)], path), "not a network of this version: it .* holds a list"),
        (lambda path: torch.save(Foreign().state_dict(), path), "not a network of this version: it .* lacks genotype"),
        (lambda path: write_misfit(path), r"not a network of this version: it lacks \d+ tensors"),
    ],
)
def test_a_file_that_cannot_teach_is_said(run: Run, tmp_path: Path, write: Callable[[Path], None], said: str) -> None:
    write(tmp_path / "teacher.pt")
    with pytest.raises(InputError, match=said) as caught:
        open_run_teacher(run, str(tmp_path / "teacher.pt"))
    assert len(str(caught.value).splitlines()) == 1


def test_a_teacher_of_one_size_is_told_to_be_of_any(run: Run, foreign: Foreign, tmp_path: Path) -> None:
    fixed = torch.export.export(foreign, (torch.rand(1, 3, 32, 32),))
    torch.export.save(fixed, tmp_path / "fixed.pt2")
    with pytest.raises(
        InputError, match=r"fails on 2,3,64,64 images .*; export it for images N,3,H,W of any N, H and W"
    ):
        open_run_teacher(run, str(tmp_path / "fixed.pt2"))


def test_the_largest_network_is_missed_by_name(run: Run) -> None:
    with pytest.raises(
        InputError,
        match=r"--teacher largest: there is no file .*search/teacher\.pt; a search with --strategy supernet makes it",
    ):
        open_run_teacher(run, "largest")


def edited(program: Path, path: Path, ending: str, change: Callable[[bytes], bytes]) -> Path:
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith(ending) else content)
    return path


def pickled_weights(content: bytes) -> bytes:
    return content.replace(b'"use_pickle": false', b'"use_pickle": true')


def evaluated_shape(content: bytes) -> bytes:
    model = json.loads(content)

    def walk(value: object) -> None:
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            if isinstance(inner, dict) and "expr_str" in inner:
                inner["expr_str"] = "print('this must not be printed')"
            walk(inner)

    walk(model)
    return json.dumps(model).encode()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this must not be printed",))


def pickled_inputs(_: bytes) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(((Evil(),), {}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("ending", "change"),
    [
        ("weights_config.json", pickled_weights),
        ("models/model.json", evaluated_shape),
        ("sample_inputs/model.pt", pickled_inputs),
    ],
)
def test_an_exported_program_that_runs_code_is_refused(
    run: Run,
    program: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    ending: str,
    change: Callable[[bytes], bytes],
) -> None:
    path = edited(program, tmp_path / "evil.pt2", ending, change)
    with pytest.raises(InputError, match="holds code or pickled objects"):
        open_run_teacher(run, str(path))
    assert "must not" not in capfd.readouterr().out


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content cut short, with some bits flipped or with a run of zeros."""
    changed = bytearray(content)
    kind = rng.choice(["cut", "flip", "zeros"])
    if kind == "cut":
        return bytes(changed[: rng.randrange(len(changed))])
    if kind == "flip":
        for _ in range(rng.choice([1, 3, 20])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    begin = rng.randrange(len(changed))
    end = min(len(changed), begin + rng.randrange(1, 200))
    changed[begin:end] = bytes(end - begin)
    return bytes(changed)


@pytest.mark.parametrize("mutations", [20, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ending", [".net.pt", ".ts.pt", ".pt2", ".onnx"])
def test_a_damaged_file_teaches_or_is_refused_in_one_line(
    foreign: Foreign, program: Path, tmp_path: Path, ending: str, mutations: int
) -> None:
    whole, damaged = tmp_path / f"whole{ending}", tmp_path / f"damaged{ending}"
    if ending == ".net.pt":
        save_network(Network(tiny_of("deeplabv3plus")), whole)
    elif ending == ".ts.pt":
        torch.jit.trace(foreign, IMAGES).save(whole)
    elif ending == ".pt2":
        shutil.copyfile(program, whole)
    else:
        write_onnx(foreign, whole)
    content, refused = whole.read_bytes(), 0
    for seed in range(mutations):
        damaged.write_bytes(mutated(content, random.Random(seed)))
        try:
            open_teacher(damaged, CLASSES, (64, 96), 64, torch.device("cpu"))
        except InputError as error:
            refused += 1
            assert str(damaged) in str(error)
            assert len(str(error).splitlines()) == 1
    assert refused > mutations / 4
