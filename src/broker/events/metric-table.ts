/** The metrics of a broker: names, types and labels. The first eight are frozen, in this order (spec: server §15). */
import type { MetricFamily } from "../../model/open-metrics.ts";

export interface MetricRow {
  readonly type: MetricFamily["type"];
  readonly labels: readonly string[];
  /** For docs/operations.md. */
  readonly about: string;
}

/** Frozen. */
export const METRIC_PREFIX = "running_process_broker_v1_";

export const METRICS = {
  hello_total: {
    type: "counter",
    labels: ["service", "version", "outcome"],
    about: "Hellos answered; outcome is `negotiated` or the refusal's code in lower case",
  },
  hello_duration_seconds: {
    type: "histogram",
    labels: ["service"],
    about: "from a complete Hello to its reply, a launch it waited for included",
  },
  active_backends: { type: "gauge", labels: ["service"], about: "backends that Hellos get right now, of all versions" },
  spawn_attempts_total: {
    type: "counter",
    labels: ["service", "version", "outcome"],
    about: "launches that have ended; outcome is `ready` or `failed`",
  },
  spawn_budget_remaining: {
    type: "gauge",
    labels: ["service", "version"],
    about: "launches that may still fail in the current window, of each backend that was ever launched",
  },
  connections_open: { type: "gauge", labels: [], about: "connections the broker holds, that of the reader included" },
  fd_usage_ratio: { type: "gauge", labels: [], about: "open descriptors in relation to the soft limit, 0 to 1" },
  uptime_seconds: { type: "gauge", labels: [], about: "whole seconds since the broker started" },
  handoffs_total: {
    type: "counter",
    labels: ["service", "version", "mode", "outcome"],
    about: "connections passed to backends; mode is `v1` or `direct`, outcome `completed` or `fallback`",
  },
} as const satisfies Readonly<Record<string, MetricRow>>;

export type MetricName = keyof typeof METRICS;

/** Upper bounds of hello_duration_seconds: a running backend is found in tens of microseconds, a cold start takes seconds. */
export const HELLO_DURATION_BOUNDS_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const;
