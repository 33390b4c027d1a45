"""The Optuna study of a search: how it is opened, and what its trials say.

The study is tied to what its scores depend on (`open_study`): the settings, the latency table, the supernet and the
data. `nas.candidate_loop` adds candidates to it.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from compress.stages.config import RunConfig
from nas.constraints import COST_NAMES
from nas.feasibility import Survey, initial_draws, is_infeasible
from search_spaces.backbone import OLDER_BACKBONE
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype

GENOTYPE, MIOU = "genotype", "miou"  # user attributes of a trial
IDENTITY = "asked"  # user attribute of a study: what its scores depend on; the key is that of older versions
FINGERPRINT = "data"  # key of an identity
INITIAL_SHARE = 0.4  # share of the candidates that are feasible random draws, before the sampler takes over
MAX_INITIAL_DRAWS = 200  # however many candidates are asked for

Score = Callable[[Genotype, Trial], float]


def open_study(
    name: str,
    storage: BaseStorage,
    config: RunConfig,
    survey: Survey,
    identity: Mapping[str, Any],
    is_data: Callable[[str], bool] | None = None,
) -> optuna.Study:
    """Makes a study, or opens it again.

    A new study starts from feasible random draws. A process that was killed while it queued them has queued some
    already; the rest are added.

    Args:
        name: The name of the study in the storage.
        storage: Where the study lives.
        config: The settings of the search.
        survey: Feasible networks to start from.
        identity: What the scores depend on: settings, and digests of table, supernet and data. JSON values.
        is_data: Whether a fingerprint is that of the data, also one that an older version made. None compares texts.

    Returns:
        The study.

    Raises:
        InputError: The study has another identity, or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # TPE's group, GP
    directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in config.costs)]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    if IDENTITY in study.user_attrs:
        check_identity(study, identity, is_data)
        check_trials(study)
        return study
    begun = bool(study.get_trials(deepcopy=False))
    for params in initial_draws(survey, min(MAX_INITIAL_DRAWS, round(config.trials * INITIAL_SHARE))):
        study.enqueue_trial(params, skip_if_exists=begun)
    study.set_user_attr(IDENTITY, json.dumps(identity, sort_keys=True))
    return study


def check_identity(
    study: optuna.Study, identity: Mapping[str, Any], is_data: Callable[[str], bool] | None = None
) -> None:
    """Refuses a study whose scores depend on other things than this run.

    Args:
        study: A study that `open_study` made. One of an older version recorded less; only what both have is compared.
        identity: What the scores of this run depend on.
        is_data: Whether a fingerprint is that of the data, also one that an older version made. None compares texts.

    Raises:
        InputError: Something differs. The message names it.
    """
    try:
        known = {"backbone": OLDER_BACKBONE, **json.loads(study.user_attrs[IDENTITY])}
        shared = known.keys() & identity.keys()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"--storage holds a study {study.study_name} that is damaged; {START_ANEW}") from error
    here = json.loads(json.dumps(identity))
    if is_data is not None and FINGERPRINT in shared and is_data(str(known[FINGERPRINT])):
        shared -= {FINGERPRINT}
    other = [f"{name} {known[name]} there, {here[name]} here" for name in sorted(shared) if known[name] != here[name]]
    if other:
        raise InputError(
            f"--storage holds a study {study.study_name} with other settings or files ({'; '.join(other)}); its scores "
            f"are not of this run: put back what it was made with, or {START_ANEW}"
        )


START_ANEW = "start the run anew under another --run"


def check_trials(study: optuna.Study) -> None:
    """Reads all that the search needs of a study's trials.

    Args:
        study: The study.

    Raises:
        InputError: A trial is damaged.
    """
    for trial in study.get_trials(deepcopy=False):
        try:
            if GENOTYPE in trial.user_attrs:
                Genotype.from_dict(json.loads(trial.user_attrs[GENOTYPE]))
                for name in COST_NAMES:
                    float(trial.user_attrs[f"predicted_{name}"])
            if trial.state is TrialState.COMPLETE:
                float(trial.user_attrs[MIOU])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(
                f"--storage: candidate {trial.number} of the study {study.study_name} is damaged "
                f"({type(error).__name__}: {error}); {START_ANEW}"
            ) from error


def finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Selects the candidates that count as scored.

    Args:
        trials: Trials of a study.

    Returns:
        Those that were scored or whose training was stopped early; infeasible ones are left out.
    """
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [t for t in trials if t.state in ended and not is_infeasible(t)]


def known_miou(study: optuna.Study, genotype: Genotype) -> float | None:
    """Finds the score of a network that was a candidate before.

    Args:
        study: The study.
        genotype: The network.

    Returns:
        Its mIoU (0..1); None when no candidate had this genotype.
    """
    text = json.dumps(genotype.to_dict())
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.user_attrs.get(GENOTYPE) == text:
            return float(trial.user_attrs[MIOU])
    return None


@dataclass(frozen=True)
class Candidate:
    """A scored network.

    Attributes:
        genotype: The network.
        latency_ms: Its predicted latency on the target, ms.
        miou: Its mIoU (0..1).
        name: The name of the known network that this is; empty for a network that the study proposed.
        by_hand: Whether one would make it by hand.
    """

    genotype: Genotype
    latency_ms: float
    miou: float
    name: str = ""
    by_hand: bool = False


def best_candidates(study: optuna.Study) -> list[Candidate]:
    """Lists the scored networks of a study.

    Args:
        study: The study.

    Returns:
        Each network once, highest mIoU first. Of a study with several objectives only those on its Pareto front.
    """
    several = len(study.directions) > 1
    trials = study.best_trials if several else study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = {
        t.user_attrs[GENOTYPE]: (float(t.user_attrs["predicted_latency_ms"]), float(t.user_attrs[MIOU])) for t in trials
    }
    best_first = sorted(found.items(), key=lambda item: -item[1][1])
    return [Candidate(Genotype.from_dict(json.loads(text)), *figures) for text, figures in best_first]
