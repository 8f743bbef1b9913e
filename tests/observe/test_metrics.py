from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import msgspec
import pytest
from clock_kit import Clock

from tidegate.core.trace_context import TraceContext, current_trace
from tidegate.errors import InternalError, UpstreamTimeout
from tidegate.observe.base import (
    GAVE_WAY,
    CallRefused,
    Failure,
    GenerationEnded,
    LimitReached,
    Occurrence,
    ReaderAttached,
    RequestDone,
    UpstreamAttempt,
)
from tidegate.observe.gauges import Reading
from tidegate.observe.metrics import appends
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.meter import Meter
from tidegate.observe.metrics.observer import MetricsObserver
from tidegate.observe.metrics.pace import Pace
from tidegate.observe.metrics.series import Exemplar, Histogram, Series
from tidegate.observe.metrics.table import BOUNDS, LIMITS, METRICS, TRANSPORTS
from tidegate.observe.metrics.totals import lasting, total

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"

LABELS = {"transport": TRANSPORTS, "limit": tuple(LIMITS.values())}
"""The labels whose values are known before anything has happened, and these values."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = current_trace.set(None)
    yield
    current_trace.reset(before)


def buckets(histogram: Histogram) -> dict[float, int]:
    """The counts that are not 0, by their upper bound."""
    return {bound: count for bound, count in zip((*BOUNDS, float("inf")), histogram.counts, strict=True) if count}


def counted(meter: Meter) -> dict[str, float]:
    """What does not show 0, by its name and labels: counts of counters, and of histograms how many there were."""
    return {
        " ".join([each.metric.removeprefix("tidegate_"), *each.labels]): value
        for each in meter.series(())
        if (value := each.value if each.counts is None else sum(each.counts))
    }


def counted_of(*occurrences: Occurrence) -> dict[str, float]:
    """What these occurrences count for."""
    meter = Meter()
    observer = MetricsObserver(meter)
    for occurrence in occurrences:
        observer.observe(occurrence)
    return counted(meter)


def ended(*, status: str = "completed", code: str | None = None, tokens: tuple[int, int] = (3, 4)) -> GenerationEnded:
    return GenerationEnded("gen_1", "m", "anna", status, code, 2.0, 0.25, *tokens)  # type: ignore[arg-type]


# What is counted


def test_a_duration_counts_in_the_first_bucket_that_holds_it() -> None:
    """A bound is part of its own bucket; what is longer than all of them is in the last one, and in the sum."""
    histogram = Histogram()
    for seconds in (0.0, 0.001, 0.0011, 60.0, 61.0, 4000.0):
        histogram.observe(seconds)
    assert buckets(histogram) == {0.001: 2, 0.0025: 1, 60.0: 1, float("inf"): 2}
    assert histogram.total == pytest.approx(4121.0021)


def test_several_durations_at_once_are_as_many_in_a_row() -> None:
    """In the buckets, and in the sum."""
    at_once, in_a_row = Histogram(), Histogram()
    at_once.observe(0.25, 3)
    for _ in range(3):
        in_a_row.observe(0.25)
    assert (at_once.counts, at_once.total) == (in_a_row.counts, in_a_row.total)


@pytest.mark.parametrize(
    ("trace", "kept"),
    [
        (None, None),
        (TraceContext(TRACE, SPAN, 0), None),
        (TraceContext(TRACE, SPAN, 1), (TRACE, SPAN)),
        (TraceContext(TRACE, SPAN, 3, "a=secret"), (TRACE, SPAN)),
    ],
)
def test_only_what_is_sampled_is_an_example(trace: TraceContext | None, kept: tuple[str, str] | None) -> None:
    """An exemplar leads to a trace, and nobody keeps the traces that are not sampled. It counts all the same."""
    histogram = Histogram()
    current_trace.set(trace)
    histogram.observe_traced(0.2)
    assert buckets(histogram) == {0.25: 1}
    found = histogram.exemplars.get(BOUNDS.index(0.25))
    assert (found and (found.trace_id, found.span_id)) == kept
    assert len(histogram.exemplars) == (kept is not None)
    assert "secret" not in repr(histogram.exemplars)


def test_a_bucket_has_the_last_example() -> None:
    """And each bucket its own, so that there is one of a slow answer, too."""
    histogram = Histogram()
    for number, seconds in enumerate((0.2, 90.0, 0.15)):
        current_trace.set(TraceContext(TRACE, f"{number:016x}", 1))
        histogram.observe_traced(seconds)
    found = {bucket: (each.value, each.span_id) for bucket, each in histogram.exemplars.items()}
    assert found == {BOUNDS.index(0.25): (0.15, f"{2:016x}"), len(BOUNDS): (90.0, f"{1:016x}")}


# The meter


def test_what_can_be_known_beforehand_shows_0_from_the_start() -> None:
    """A rate of a series that appears with its first value would miss that value."""
    series = {(each.metric, each.labels): each for each in Meter().series(())}
    closed = [metric for metric in METRICS if metric.kind != "gauge" and LABELS.keys() >= set(metric.labels)]
    assert closed
    assert series.keys() == {
        (metric.name, labels) for metric in closed for labels in product(*(LABELS[label] for label in metric.labels))
    }
    assert all(each.value == 0 and not any(each.counts or ()) for each in series.values())


def test_what_is_said_of_a_model_shows_0_before_it_is_asked() -> None:
    """Its durations, tokens and completed generations, and each outcome of an attempt at its upstream."""
    meter = Meter()
    meter.serve({"m": ["10.0.0.1:8000"], "n": []})
    series = [each for each in meter.series(()) if each.labels[:1] in (("m",), ("n",))]
    assert {each.value for each in series} == {0}
    of_both = {(each.metric, each.labels[1:]) for each in series if each.labels[0] == "n"}
    assert of_both == {
        ("tidegate_time_to_first_token_seconds", ()),
        ("tidegate_inter_token_seconds", ()),
        ("tidegate_generation_seconds", ()),
        ("tidegate_generations_total", ("completed", "")),
        ("tidegate_tokens_total", ("prompt",)),
        ("tidegate_tokens_total", ("completion",)),
    }
    attempts = {("tidegate_upstream_attempts_total", ("10.0.0.1:8000", o)) for o in ("answered", "failed", "cancelled")}
    assert {(each.metric, each.labels[1:]) for each in series if each.labels[0] == "m"} == of_both | attempts


def test_what_is_served_no_more_is_forgotten_at_the_second_change() -> None:
    """After the first its last answers end, and are read; those that end even later are forgotten at the next. What
    stays never falls, nor does what was never served here."""
    meter = Meter()
    observer = MetricsObserver(meter)

    def models() -> set[str]:
        return {each.labels[0] for each in meter.series(()) if each.metric == "tidegate_generations_total"}

    def attempts() -> dict[str, float]:
        found = [each for each in meter.series(()) if each.metric == "tidegate_upstream_attempts_total"]
        return {each.labels[1]: each.value for each in found if each.labels[::2] == ("m", "failed")}

    meter.serve({"m": ["a", "b"], "n": ["a"]})
    for upstream in ("a", "b"):
        observer.observe(UpstreamAttempt("m", upstream, "failed", "", 0.0, None))
    observer.observe(msgspec.structs.replace(ended(), model="elsewhere"))
    for turn in range(3):
        meter.serve({"m": ["a"], f"turn-{turn}": []})
        assert models() == {"m", "elsewhere", f"turn-{turn}", f"turn-{turn - 1}" if turn else "n"}
        assert attempts() == ({"a": 1, "b": 1} if turn == 0 else {"a": 1})
        observer.observe(msgspec.structs.replace(ended(), model="n"))
    meter.serve({"m": ["a"], "n": []})
    assert counted(meter)["upstream_attempts_total m a failed"] == 1


def test_each_series_has_the_labels_of_the_table() -> None:
    """As many as its metric has, whatever it was begun by."""
    meter = Meter()
    meter.serve({"m": ["up"]})
    MetricsObserver(meter).observe(ended())
    by_name = {metric.name: metric for metric in METRICS}
    for each in meter.series([Reading("readers", 2, {"transport": "sse"}), Reading("streams_live", 1)]):
        assert len(each.labels) == len(by_name[each.metric].labels)


def test_a_series_is_read_as_it_was() -> None:
    """What is counted while a scrape is on its way does not change it."""
    meter = Meter()
    histogram, counter = meter.histogram("tidegate_generation_seconds", "m"), meter.counter("tidegate_gaps_total")
    before = meter.series(())
    current_trace.set(TraceContext(TRACE, SPAN, 1))
    histogram.observe_traced(1.0)
    counter.add(2)
    assert not any(each.value or any(each.counts or ()) or each.exemplars for each in before)
    assert counted(meter) == {"generation_seconds m": 1, "gaps_total": 2}


def test_gauges_are_read_beside_what_is_counted() -> None:
    """With the values of their labels."""
    read = Meter().series([Reading("connections", 7, {"transport": "sse", "state": "active"})])
    assert read[-1] == Series("tidegate_connections", ("sse", "active"), 7)


# Several processes


def histogram_of(*counts: int, value: float, **exemplars: float) -> Series:
    """A histogram with these counts, and in the buckets `b0`, `b1`, … exemplars from these times."""
    kept = {int(bucket[1:]): Exemplar(at, at, TRACE, SPAN) for bucket, at in exemplars.items()}
    return Series("tidegate_generation_seconds", ("m",), value, counts, kept)


def test_a_scrape_is_the_sum_of_all_processes() -> None:
    """Counters, gauges and histograms alike; a series that only one process has is there as it is."""
    one = [
        Series("tidegate_gaps_total", (), 2),
        Series("tidegate_readers", ("sse",), 3),
        histogram_of(1, 0, 2, value=1.5),
    ]
    other = [Series("tidegate_readers", ("json",), 1), histogram_of(0, 4, 1, value=0.5), one[1]]
    assert list(total([one, [], other])) == [
        Series("tidegate_gaps_total", (), 2),
        Series("tidegate_readers", ("sse",), 6),
        histogram_of(1, 4, 3, value=2.0),
        Series("tidegate_readers", ("json",), 1),
    ]
    assert one[2] == histogram_of(1, 0, 2, value=1.5)


def test_the_later_example_is_kept() -> None:
    """Whichever process it comes from; where only one has an example it is that."""
    one, other = histogram_of(1, 1, 1, value=0, b0=5.0, b1=1.0), histogram_of(1, 1, 1, value=0, b0=4.0, b1=2.0, b2=3.0)
    for parts in ([[one], [other]], [[other], [one]]):
        (found,) = total(parts)
        assert {bucket: each.at for bucket, each in found.exemplars.items()} == {0: 5.0, 1: 2.0, 2: 3.0}


def test_a_process_that_has_ended_still_counts_but_has_nothing_open() -> None:
    """Counters never go down; its readers are gone."""
    meter = Meter()
    meter.counter("tidegate_gaps_total").add(1)
    series = meter.series([Reading("readers", 2, {"transport": "sse"}), Reading("topics", 3)])
    kept = lasting(series)
    assert kept == meter.series(())
    assert {each.metric for each in series} - {each.metric for each in kept} == {"tidegate_readers", "tidegate_topics"}


# What happens


def test_a_request_counts_by_its_route_and_status() -> None:
    """By the route as the table has it, not by the path, of which there are any number."""
    done = RequestDone("req_1", "GET", "/v1/streams/gen_1", 200, 0.2, route="/v1/streams/{stream_id}")
    assert counted_of(done, done) == {"request_seconds /v1/streams/{stream_id} 200": 2}


def test_an_unknown_path_is_no_route() -> None:
    """Whoever tries paths at random makes no series of them."""
    assert counted_of(*(RequestDone(None, "GET", f"/{n}.php", 404, 0.1) for n in range(9))) == {
        "request_seconds none 404": 9
    }


def test_a_request_whose_client_left_has_status_0() -> None:
    """There was no answer that could have had one."""
    left = RequestDone(None, "GET", "/readyz", None, 0.1, route="/readyz")
    assert counted_of(left) == {"request_seconds /readyz 0": 1}


@pytest.mark.parametrize(
    ("streamed", "head", "seconds"), [(True, 0.03, 0.03), (False, 0.03, 9.0), (True, None, 9.0), (False, None, 9.0)]
)
def test_what_streams_is_measured_up_to_its_head(streamed: bool, head: float | None, seconds: float) -> None:
    """How long an answer's events go on says nothing about the server; any other answer is measured to its end."""
    meter = Meter()
    done = RequestDone(None, "GET", "/", 200, 9.0, route="/", head_s=head, streamed=streamed)
    MetricsObserver(meter).observe(done)
    assert meter.histogram("tidegate_request_seconds", "/", "200").total == seconds


@pytest.mark.parametrize(("code", "limit"), LIMITS.items())
def test_a_refusal_counts_for_the_setting_that_limits_it(code: str, limit: str) -> None:
    """Whether it was a request's or that of a call that the application has not seen."""
    done = RequestDone(None, "GET", "/", 429, 0.1, code=code, route="/")
    assert counted_of(done, CallRefused(code)) == {"request_seconds / 429": 1, f"rejections_total {limit}": 2}


def test_an_error_that_no_limit_is_the_cause_of_is_no_rejection() -> None:
    """It is seen by its status."""
    done = RequestDone(None, "GET", "/", 404, 0.1, code="not_found", route="/")
    assert counted_of(done, CallRefused("not_found"), CallRefused("made up")) == {"request_seconds / 404": 1}


def test_who_is_cut_off_with_a_full_buffer_is_counted() -> None:
    """Each at once; the line in the log, which comes once in a while, is for people."""
    cut = [CallRefused(GAVE_WAY), CallRefused(GAVE_WAY), LimitReached("max_buffered_bytes", "key:ci", None, 5)]
    assert counted_of(*cut) == {"rejections_total max_buffered_bytes": 2}


def test_a_generation_counts_with_its_tokens_and_its_time() -> None:
    """By model; what it was called does not matter."""
    assert counted_of(ended(), ended(tokens=(1, 0))) == {
        "generations_total m completed ": 2,
        "generation_seconds m": 2,
        "tokens_total m prompt": 4,
        "tokens_total m completion": 4,
    }


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        ("failed", UpstreamTimeout.code, UpstreamTimeout.code),
        ("failed", InternalError.code, InternalError.code),
        ("failed", "made_up_by_an_upstream", "upstream_refused"),
        ("failed", "", "upstream_refused"),
        ("failed", None, "upstream_refused"),
        ("cancelled", "client", "client"),
    ],
)
def test_the_code_of_a_failure_is_one_of_tidegates(status: str, code: str | None, shown: str) -> None:
    """An upstream may say anything as the code of its refusal, and each new one would be a new series for ever."""
    found = counted_of(ended(status=status, code=code))
    assert [name for name in found if name.startswith("generations_total")] == [f"generations_total m {status} {shown}"]


def test_attempts_count_by_outcome() -> None:
    """Whatever the code of a failed one is."""
    attempts = [
        UpstreamAttempt("m", "up:80", "answered", None, 0.5, None),
        UpstreamAttempt("m", "up:80", "failed", "a", 0.5, None),
        UpstreamAttempt("m", "up:80", "failed", "b", 0.5, None),
    ]
    assert counted_of(*attempts) == {
        "upstream_attempts_total m up:80 answered": 1,
        "upstream_attempts_total m up:80 failed": 2,
    }


def test_only_readers_that_come_back_have_resumed() -> None:
    """By transport."""
    came = [ReaderAttached("gen_1", "rd_1", transport, "anna", resumed) for transport, resumed in RESUMED]
    assert counted_of(*came) == {"resumes_total sse": 2, "resumes_total websocket": 1}


RESUMED = [("sse", True), ("sse", False), ("sse", True), ("websocket", True), ("json", False)]


def test_what_is_no_metric_counts_nowhere() -> None:
    """A failure is in the log."""
    assert counted_of(Failure("http", ValueError("x"))) == {}


# The pace of tokens


def paced(*, since: float | None, came: list[tuple[int, float]]) -> tuple[Histogram, Histogram]:
    meter = Meter()
    pace = Pace(meter, "m", since)
    for count, now in came:
        pace.came(count, now)
    return (
        meter.histogram("tidegate_time_to_first_token_seconds", "m"),
        meter.histogram("tidegate_inter_token_seconds", "m"),
    )


def test_the_first_token_is_measured_from_the_creation() -> None:
    """It has none before it, so there is no time between two tokens."""
    first, between = paced(since=10.0, came=[(1, 12.0)])
    assert (buckets(first), first.total) == ({2.5: 1}, 2.0)
    assert buckets(between) == {}


def test_the_first_token_has_an_example() -> None:
    """The one duration of a generation's tokens that is worth a look at its trace; the others are too many."""
    current_trace.set(TraceContext(TRACE, SPAN, 1))
    first, between = paced(since=10.0, came=[(1, 12.0), (1, 12.5)])
    assert [each.span_id for each in first.exemplars.values()] == [SPAN]
    assert between.exemplars == {}


def test_tokens_that_come_together_share_the_time_since_the_last_ones() -> None:
    """One read may bring many: no token has taken no time, and none all of it."""
    first, between = paced(since=0.0, came=[(2, 1.0), (4, 1.8), (1, 2.8)])
    assert buckets(first) == {1.0: 1}
    assert buckets(between) == {0.25: 4, 1.0: 1}
    assert between.total == pytest.approx(1.8)


def test_a_generation_that_goes_on_elsewhere_has_had_its_first_token() -> None:
    """Nor is the wait for its next one the model's: the node that had it is gone."""
    first, between = paced(since=None, came=[(1, 50.0), (1, 50.5)])
    assert buckets(first) == {}
    assert (buckets(between), between.total) == ({0.5: 1}, 0.5)


# The last appends


def test_an_append_has_an_age() -> None:
    """From its beginning until it is answered and written; of a stream that another node fills there is none."""
    clock = Clock(10.0)
    kept = Appends(clock)
    kept.begin("gen_1", 9.5)
    assert (kept.age("gen_1"), kept.age("gen_2")) == (0.5, None)
    kept.answer("gen_1", 10.0)
    assert kept.age("gen_1") == 0.5
    clock.now += 1
    assert kept.age("gen_1") is None


def test_of_appends_that_overlap_the_oldest_is_written_first() -> None:
    """A store that stalls does not look fast because more is published meanwhile."""
    clock = Clock(10.0)
    kept = Appends(clock)
    for moment in (9.0, 9.4, 9.9):
        kept.begin("topic:room", moment)
    assert kept.age("topic:room") == 1.0
    kept.answer("topic:room", 10.0)
    assert kept.age("topic:room") == pytest.approx(0.6)


def test_only_so_many_appends_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams come and go for ever, and memory does not grow with them; those of now are known."""
    monkeypatch.setattr(appends, "MOST_KEPT", 3)
    kept = Appends(lambda: 100.0)
    for number in range(50):
        kept.begin(f"gen_{number}", float(number))
    assert [number for number in range(50) if kept.age(f"gen_{number}") is not None] == [47, 48, 49]
