"""Without control agents end as no serial run does, and the audit says so; with control it does not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio
import pytest
from honest import Honest, kept_logs, logs_of, report_of

from coagent_lab.bench.contended.costs import Costs
from coagent_lab.bench.contended.judging import Judging
from coagent_lab.bench.contended.ten import the_ten
from coagent_lab.bench.contended.trial import Trial, run_trial
from coagent_lab.demos import canary

SEEDS = 3


async def ran(protocol: str, **judging: float) -> list[tuple[Trial, Honest]]:
    """Run the ten workloads of the benchmark, and return how they ended with their logs."""
    found = []
    for workload, family in await the_ten():
        for seed in range(SEEDS):
            with kept_logs() as logs:
                trial = await run_trial(workload, family, protocol, seed, Costs(), Judging(**judging))
            found += [(trial, log) for log in logs if log.settings.protocol == protocol and log.texts][:1]
    return found


def test_of_the_benchmarks_runs_without_control_just_those_are_wrong_that_end_as_no_serial_run_does() -> None:
    found = Counter[str]()
    for trial, log in anyio.run(ran, "naive"):
        report = report_of(log)
        assert report.serial is trial.serial_any_order, (trial.workload, trial.seed)
        found.update({one.what for one in report.findings.kept})
    assert {"lost update", "write skew", "phantom"} <= set(found)


@pytest.mark.parametrize("protocol", ["2pl", "occ", "serial", "mtpo"])
def test_with_control_they_are_right(protocol: str) -> None:
    for trial, log in anyio.run(ran, protocol):
        report = report_of(log)
        assert trial.serial_any_order
        assert report.serial, (trial.workload, trial.seed, report.findings.kept)


def test_where_models_misjudge_notices_the_audit_says_what_they_were_told_and_kept() -> None:
    misjudged = 0

    async def runs() -> list[tuple[Trial, Honest]]:
        return await ran("mtpo", misjudge=0.6, second_look=False)

    for trial, log in anyio.run(runs):
        report = report_of(log)
        assert report.serial, "every call saw what its place in the order shows"
        if not trial.serial_in_order:
            misjudged += 1
            assert report.of(["judgement"]), (trial.workload, trial.seed)
    assert misjudged >= 5


def test_the_canary_is_a_phantom_without_control_and_right_with_it(tmp_path: Path) -> None:
    with kept_logs() as logs:
        anyio.run(canary.canary, ["naive", "mtpo"], 1, tmp_path, lambda text: None)
    by_protocol = {log.settings.protocol: log for log in logs if report_of(log).tally.joined == 2}
    assert report_of(by_protocol["mtpo"]).serial
    (one,) = [one for one in report_of(by_protocol["naive"]).findings.kept if one.failing]
    assert (one.what, one.code, set(one.agents)) == ("phantom", "G2", {"A", "B"})


def test_random_runs_without_control_are_often_wrong() -> None:
    wrong = Counter[str]()
    for seed in range(1, 101):
        for log in logs_of(seed, protocol="naive"):
            wrong.update({one.code for one in report_of(log).findings.kept})
    assert {"G0", "G1a", "G1b", "G1c", "G-single", "G2-item", "G2"} & set(wrong) >= {"G0", "G1a", "G-single"}
