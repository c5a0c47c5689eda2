"""From the matrix to rows: opens what is compared, times it in turns, and completes each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from runtime.bench.cases import Plan, Work
from runtime.bench.clock import Record, measure, median_stages, outside_engine
from runtime.bench.cold import measure_cold
from runtime.bench.machine import Machine, Software, load_1min
from runtime.bench.meters import Meter, total_usage
from runtime.bench.pictures import make_pictures
from runtime.bench.quality import IDENTICAL_DB, Pairs, measure_quality, psnr_db
from runtime.bench.roofline import roof_of, work_gflop
from runtime.bench.rows import Cold, Floor, Quality, Row, append_row, case_key
from runtime.bench.statistics import Spread, deadline, ratio, spread, summarize
from runtime.bench.subjects import EngineSubject, Options, Subject
from runtime.errors import OptionError

# Peers draw on other arithmetic (bfloat16, fused kernels); other weights miss this by far.
_SAME_WEIGHTS_DB = 30.0


@dataclass(frozen=True)
class Circumstances:
    """What all rows of one run share."""

    plan: Plan
    options: Options
    software: Software
    machine: Machine
    meter: Meter | None = None
    pairs: Pairs | None = None
    progress: Callable[[str], None] = lambda _: None


class Runner:
    """Measures works with all subjects side by side.

    Works that differ in nothing but the size of the picture are measured side by side, too: what
    the machine does meanwhile would else bend the line through the sizes.
    """

    def __init__(self, subjects: Sequence[Subject], shared: Circumstances) -> None:
        self._subjects = subjects
        self._shared = shared
        self._qualities: dict[tuple[str, str, int, int], Quality] = {}

    def run(self, works: Sequence[Work], out: Path | None, known: set[str]) -> list[Row]:
        """Measure every work of which a row is missing in ``known``; rows go to ``out`` at once."""
        made: list[Row] = []
        groups = _by_size(works)
        for number, group in enumerate(groups, start=1):
            missing = [
                w for w in group if any(self._key(s, w) not in known for s in self._subjects)
            ]
            title = f"[{number}/{len(groups)}] {_name(missing or group)}"
            if not missing:
                self._shared.progress(f"{title}: measured already\n")
                continue
            rows = self._measure(missing, title)
            made.extend(rows)
            if out is not None:
                for row in rows:
                    append_row(out, row)
        return made

    def _key(self, subject: Subject, work: Work) -> str:
        shared = self._shared
        return case_key(subject.case(work), shared.plan, shared.software, shared.machine)

    def _measure(self, works: Sequence[Work], title: str) -> list[Row]:
        shared = self._shared
        load, began = load_1min(), _now()
        agreements = [self._compare_pictures(work) for work in works]
        records = measure(
            [[subject.timed(work) for subject in self._subjects] for work in works],
            shared.plan,
            shared.meter,
            progress=lambda what: shared.progress(f"{title}: {what}"),
        )
        shared.progress(f"{title}: cold starts and quality")
        rows = [
            self._row(subject, work, record, agreement, side_by_side, load=load, began=began)
            for work, side_by_side, agreed in zip(works, records, agreements, strict=True)
            for subject, record, agreement in zip(self._subjects, side_by_side, agreed, strict=True)
        ]
        shared.progress(f"{title}: done\n")
        return rows

    def _compare_pictures(self, work: Work) -> list[float | None]:
        """PSNR of each subject's picture against the first one's on the same bundle.

        Raises OptionError for a peer whose picture is another: it has other weights.
        """
        images = make_pictures(work.batch, work.height_px, work.width_px)
        pictures = [subject.deblur(images, work) for subject in self._subjects]
        result: list[float | None] = []
        for index, subject in enumerate(self._subjects):
            first = next(
                i
                for i, s in enumerate(self._subjects)
                if s.bundle.directory == subject.bundle.directory
            )
            agreement = None if first == index else psnr_db(pictures[first], pictures[index])
            if agreement is not None and agreement < _SAME_WEIGHTS_DB:
                raise OptionError(
                    f"{subject.case(work).label} makes another picture than "
                    f"{self._subjects[first].case(work).label} ({agreement:.1f} dB apart at "
                    f"{work}); compare what has the same weights: is --checkpoint the bundle's?"
                )
            result.append(None if agreement is None else round(min(agreement, IDENTICAL_DB), 2))
        return result

    def _row(
        self,
        subject: Subject,
        work: Work,
        record: Record,
        agreement: float | None,
        records: Sequence[Record],
        *,
        load: float,
        began: str,
    ) -> Row:
        shared, case = self._shared, subject.case(work)
        times = record.times_ms
        latency = summarize(times)
        cold, host_peak = self._cold(subject, work)
        meter = shared.meter.name if shared.meter else ""
        outside = outside_engine(record.stages_ms)
        gflop = work_gflop(subject.bundle, work)
        return Row(
            case=case,
            plan=shared.plan,
            software=shared.software,
            machine=shared.machine,
            engine=subject.description,
            measured_at=_now(),
            load_1min=load,
            warm_up_runs=record.warm_up_runs,
            warm_up_stable=record.warm_up_stable,
            latency=latency,
            deadlines=tuple(deadline(times, fps) for fps in shared.plan.fps),
            pictures_per_s=round(work.batch * len(times) / (sum(times) / 1000.0), 4),
            times_ms=tuple(tuple(round(t, 3) for t in one) for one in record.rounds_ms),
            stages_ms=median_stages(record.stages_ms),
            outside_engine=spread(outside) if outside else None,
            after_idle_ms=tuple(round(t, 3) for t in record.idle_ms),
            floor=_floor(record),
            cold=cold,
            host_peak_mib=host_peak,
            usage=total_usage(meter, record.blocks, work.batch * len(times)),
            faster_than=self._ratios(subject, work, record, records),
            agrees_db=agreement,
            roof=roof_of(subject.description, case.precision, gflop, latency.p50),
            quality=self._quality(subject, work),
            turns_began=began,
        )

    def _ratios(
        self, subject: Subject, work: Work, record: Record, records: Sequence[Record]
    ) -> dict[str, Spread]:
        return {
            other.case(work).label: found
            for other, theirs in zip(self._subjects, records, strict=True)
            if other is not subject and (found := ratio(record.rounds_ms, theirs.rounds_ms))
        }

    def _cold(self, subject: Subject, work: Work) -> tuple[Cold | None, float | None]:
        if not isinstance(subject, EngineSubject):
            return None, None
        case = subject.case(work)
        options = {"engine": case.subject, **self._shared.options.session}
        return measure_cold(case, subject.bundle.directory, options, self._shared.plan.cold_runs)

    def _quality(self, subject: Subject, work: Work) -> Quality | None:
        """That of the artefact at these steps and samples; the size timed does not enter."""
        pairs, case = self._shared.pairs, subject.case(work)
        if pairs is None:
            return None
        key = (case.subject, case.build, work.steps, work.samples)
        if key not in self._qualities:
            one = Work(work.width_px, work.height_px, work.steps, work.samples, 1)
            self._qualities[key] = measure_quality(lambda image: subject.deblur(image, one), pairs)
        return self._qualities[key]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _by_size(works: Sequence[Work]) -> list[list[Work]]:
    """The works of equal steps, samples and batch together, in the order in which they came up."""
    groups: dict[tuple[int, int, int], list[Work]] = {}
    for work in works:
        groups.setdefault((work.steps, work.samples, work.batch), []).append(work)
    return list(groups.values())


def _name(group: Sequence[Work]) -> str:
    """``256x256 640x360, 10 steps``."""
    sizes = " ".join(f"{work.width_px}x{work.height_px}" for work in group)
    return f"{sizes},{str(group[0]).partition(',')[2]}"


def _floor(record: Record) -> Floor | None:
    """The bare calls against the rounds that they were taken in."""
    if not record.floors_ms:
        return None
    overhead = [
        1.0 - floor / summarize(times).p50
        for floor, times in zip(record.floors_ms, record.rounds_ms, strict=False)
    ]
    return Floor(round(summarize(record.floors_ms).p50, 4), spread(overhead), len(record.floors_ms))
