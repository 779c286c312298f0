/**
 * The text form of metrics (OpenMetrics 1.0, with one frozen deviation). Pure.
 *
 * Rendered by hand, because the reference's spelling is frozen (spec: server §15): its TYPE line of a counter has the
 * `_total` that its samples have, there are no HELP lines, and prom-client can produce neither. Prometheus reads this
 * text; a parser that insists on families typed without `_total` gets `strictOpenMetrics` of it.
 */
export interface MetricFamily {
  /** In full; that of a counter ends in `_total`. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly samples: readonly MetricSample[];
}

export interface MetricSample {
  /** Histograms only. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
  /** In the order in which they are written. */
  readonly labels: readonly MetricLabel[];
  readonly value: number;
}

export type MetricLabel = readonly [name: string, value: string];

const EOF = "# EOF\n";

/** Families in the given order, `# EOF` at the end. */
export function renderOpenMetrics(families: readonly MetricFamily[]): string {
  return families.map(renderFamily).join("") + EOF;
}

function renderFamily({ name, type, samples }: MetricFamily): string {
  const lines = samples.map(
    ({ suffix = "", labels, value }) => `${name}${suffix}${renderLabels(labels)} ${renderNumber(value)}\n`,
  );
  return `# TYPE ${name} ${type}\n${lines.join("")}`;
}

function renderLabels(labels: readonly MetricLabel[]): string {
  if (labels.length === 0) return "";
  return `{${labels.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function renderNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}

/** A histogram's bound as OpenMetrics wants it in `le`: a whole number has its ".0". */
export function renderBound(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : renderNumber(bound);
}

/** The same text for parsers that insist on the standard's family names; names of samples stay. */
export function strictOpenMetrics(text: string): string {
  return text.replace(/^(# TYPE \S+)_total counter$/gm, "$1 counter");
}
