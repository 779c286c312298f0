/**
 * What the broker counts. Observing is a map lookup and an addition, because a Hello in all costs some fifty
 * microseconds; text is made when somebody asks (model/open-metrics.ts).
 *
 * Invariant: what peers write cannot make the number of series grow without bound. Labels that fit no grammar become
 * `_unknown`; what comes when a family is full becomes `_other`. Neither can be the name of a service.
 */
import { isVersion, nameFault } from "../../model/names.ts";
import { type MetricFamily, type MetricLabel, type MetricSample, renderBound } from "../../model/open-metrics.ts";
import type { Refusal } from "../../model/refusal.ts";
import { HELLO_DURATION_BOUNDS_SECONDS, METRIC_PREFIX, METRICS, type MetricName } from "./metric-table.ts";
import type { ConnectionOutcome, HandoffReport } from "./reports.ts";

export interface BrokerMetrics {
  /** Counts what was a Hello; other outcomes are none of ours. */
  connection(outcome: ConnectionOutcome): void;
  spawn(key: SeriesKey, outcome: "ready" | "failed"): void;
  handoff(report: Pick<HandoffReport, "key" | "direct" | "outcome">): void;
  /** Everything counted so far and the gauges as they are now, in the frozen order, then what `sources` have. */
  families(gauges: LiveGauges): readonly MetricFamily[];
}

export interface SeriesKey {
  readonly service: string;
  readonly version: string;
}

/** What is measured when it is asked for. */
export interface LiveGauges {
  /** Every backend that Hellos get. */
  readonly backends: readonly SeriesKey[];
  /** Launches left, for keys whose window is open; all others have `fullBudget`. */
  readonly budgets: readonly (SeriesKey & { readonly remaining: number })[];
  readonly fullBudget: number;
  readonly connectionsOpen: number;
  /** 0 to 1. */
  readonly fdUsageRatio: number;
  readonly uptimeMs: number;
}

/** Another part of the broker with metrics of its own; asked at every scrape. */
export type MetricSource = () => readonly MetricFamily[];

/** Series kept of one family before the rest is counted together. */
const MAX_SERIES = 1000;
/** Not decoded, or not a name or version at all. */
const UNKNOWN = "_unknown";
/** One too many. */
const OTHER = "_other";

export function createBrokerMetrics(sources: readonly MetricSource[] = []): BrokerMetrics {
  const hellos = createCounter("hello_total");
  const durations = createHistogram("hello_duration_seconds", HELLO_DURATION_BOUNDS_SECONDS);
  const spawns = createCounter("spawn_attempts_total");
  const handoffs = createCounter("handoffs_total");
  return {
    connection(outcome) {
      if (outcome.type === "unreadable") hellos.count("", "", outcomeOf(outcome.refusal));
      if (outcome.type !== "hello") return;
      hellos.count(outcome.service, outcome.version, outcomeOf(outcome.refusal));
      durations.observe(outcome.service, outcome.durationMs / 1000);
    },
    spawn: ({ service, version }, outcome) => spawns.count(service, version, outcome),
    handoff: ({ key, direct, outcome }) =>
      handoffs.count(
        key.service,
        key.version,
        direct ? "direct" : "v1",
        outcome.kind === "completed" ? "completed" : "fallback",
      ),
    families: (gauges) => [
      hellos.family(),
      durations.family(),
      activeBackends(spawns.keys(), gauges),
      spawns.family(),
      budgetRemaining(spawns.keys(), gauges),
      plainGauge("connections_open", gauges.connectionsOpen),
      plainGauge("fd_usage_ratio", gauges.fdUsageRatio),
      plainGauge("uptime_seconds", Math.floor(gauges.uptimeMs / 1000)),
      handoffs.family(),
      ...sources.flatMap((source) => source()),
    ],
  };
}

function outcomeOf(refusal: Refusal | undefined): string {
  return refusal === undefined ? "negotiated" : refusal.code.toLowerCase();
}

// ---------------------------------------------------------------------------------------------------- counters

interface Counter {
  /** `rest`: the labels behind service and version, which come from us. */
  count(service: string, version: string, ...rest: string[]): void;
  /** Every service and version that was counted, sorted. */
  keys(): readonly SeriesKey[];
  family(): MetricFamily;
}

interface Series {
  /** Of its labels. */
  readonly values: readonly string[];
  count: number;
}

function createCounter(name: MetricName): Counter {
  const series: Series[] = [];
  // Level by level: putting the three together to look them up costs more than all else here.
  const byService = new Map<string, Map<string, Map<string, Series>>>();
  const find = (service: string, version: string, rest: readonly string[]): Series | undefined =>
    byService.get(service)?.get(version)?.get(restId(rest));
  const add = (service: string, version: string, rest: readonly string[]): Series => {
    const added: Series = { values: [service, version, ...rest], count: 0 };
    series.push(added);
    const byVersion = mapIn(byService, service);
    mapIn(byVersion, version).set(restId(rest), added);
    return added;
  };
  const seriesFor = (service: string, version: string, rest: readonly string[]): Series => {
    const known = find(service, version, rest);
    if (known !== undefined) return known;
    const isFull = series.length >= MAX_SERIES;
    const named = isFull ? OTHER : asName(service);
    const versioned = isFull ? OTHER : asVersion(version);
    return find(named, versioned, rest) ?? add(named, versioned, rest);
  };
  return {
    count(service, version, ...rest) {
      seriesFor(service, version, rest).count++;
    },
    keys: () => distinct(series.map(({ values: [service = "", version = ""] }) => ({ service, version }))),
    family: () =>
      familyOf(
        name,
        series.map(({ values, count }) => ({ labels: labelled(name, values), value: count })),
      ),
  };
}

/** No label of ours holds a blank. */
function restId(rest: readonly string[]): string {
  return rest.length === 1 ? (rest[0] as string) : rest.join(" ");
}

function mapIn<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const known = maps.get(key);
  if (known !== undefined) return known;
  const made = new Map<string, V>();
  maps.set(key, made);
  return made;
}

function asName(service: string): string {
  return nameFault(service) === undefined || service === OTHER ? service : UNKNOWN;
}

function asVersion(version: string): string {
  return version.length <= 64 && isVersion(version) ? version : UNKNOWN;
}

// ---------------------------------------------------------------------------------------------------- histogram

interface Histogram {
  observe(service: string, seconds: number): void;
  family(): MetricFamily;
}

interface Distribution {
  readonly service: string;
  /** Per bound, not cumulative; the last is beyond all bounds. */
  readonly counts: number[];
  sum: number;
}

function createHistogram(name: MetricName, bounds: readonly number[]): Histogram {
  const services = new Map<string, Distribution>();
  const distributionOf = (service: string): Distribution => {
    const known = services.get(service);
    if (known !== undefined) return known;
    const label = services.size < MAX_SERIES ? asName(service) : OTHER;
    const distribution = services.get(label) ?? {
      service: label,
      counts: new Array<number>(bounds.length + 1).fill(0),
      sum: 0,
    };
    services.set(label, distribution);
    return distribution;
  };
  return {
    observe(service, seconds) {
      const distribution = distributionOf(service);
      let at = 0;
      while (at < bounds.length && seconds > (bounds[at] as number)) at++;
      distribution.counts[at] = (distribution.counts[at] as number) + 1;
      distribution.sum += seconds;
    },
    family: () => {
      const sorted = [...services.values()].sort((a, b) => compareText(a.service, b.service));
      return {
        name: METRIC_PREFIX + name,
        type: METRICS[name].type,
        samples: sorted.flatMap((distribution) => histogramSamples(name, bounds, distribution)),
      };
    },
  };
}

function histogramSamples(
  name: MetricName,
  bounds: readonly number[],
  { service, counts, sum }: Distribution,
): MetricSample[] {
  const labels = labelled(name, [service]);
  let cumulative = 0;
  const buckets = counts.map((count, at): MetricSample => {
    cumulative += count;
    const bound = bounds[at];
    const le = bound === undefined ? "+Inf" : renderBound(bound);
    return { suffix: "_bucket", labels: [...labels, ["le", le]], value: cumulative };
  });
  return [...buckets, { suffix: "_count", labels, value: cumulative }, { suffix: "_sum", labels, value: sum }];
}

// ---------------------------------------------------------------------------------------------------- gauges

/** A service whose last backend has gone shows 0: a series that vanishes looks like a broker that has. */
function activeBackends(launched: readonly SeriesKey[], { backends }: LiveGauges): MetricFamily {
  const active = new Map(launched.map(({ service }) => [service, 0]));
  for (const { service } of backends) active.set(service, (active.get(service) ?? 0) + 1);
  const samples = [...active].map(([service, value]) => ({ labels: labelled("active_backends", [service]), value }));
  return familyOf("active_backends", samples);
}

function budgetRemaining(launched: readonly SeriesKey[], { budgets, fullBudget }: LiveGauges): MetricFamily {
  const open = new Map(budgets.map(({ service, version, remaining }) => [`${service} ${version}`, remaining]));
  const samples = distinct([...launched, ...budgets]).map(({ service, version }) => ({
    labels: labelled("spawn_budget_remaining", [service, version]),
    value: open.get(`${service} ${version}`) ?? fullBudget,
  }));
  return familyOf("spawn_budget_remaining", samples);
}

function plainGauge(name: MetricName, value: number): MetricFamily {
  return familyOf(name, [{ labels: [], value }]);
}

// ---------------------------------------------------------------------------------------------------- shared

function familyOf(name: MetricName, samples: readonly MetricSample[]): MetricFamily {
  return { name: METRIC_PREFIX + name, type: METRICS[name].type, samples: [...samples].sort(compareSamples) };
}

function labelled(name: MetricName, values: readonly string[]): MetricLabel[] {
  return METRICS[name].labels.map((label, at) => [label, values[at] as string]);
}

function distinct(keys: readonly SeriesKey[]): SeriesKey[] {
  const byId = new Map(keys.map(({ service, version }) => [`${service} ${version}`, { service, version }]));
  return [...byId].sort(([a], [b]) => compareText(a, b)).map(([, key]) => key);
}

function compareSamples(a: MetricSample, b: MetricSample): number {
  for (const [at, [, value]] of a.labels.entries()) {
    const order = compareText(value, b.labels[at]?.[1] ?? "");
    if (order !== 0) return order;
  }
  return 0;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
