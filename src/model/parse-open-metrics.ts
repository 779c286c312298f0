/** Reads what `renderOpenMetrics` writes, for tables and JSON: lines of other kinds are passed over. Pure. */
import type { MetricFamily, MetricLabel, MetricSample } from "./open-metrics.ts";

const TYPE = /^# TYPE (\S+) (counter|gauge|histogram)$/;
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: .*)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/y;
const SUFFIX = /_(?:bucket|sum|count)$/;

interface GrowingFamily extends MetricFamily {
  readonly samples: MetricSample[];
}

/** Undefined when the text is not what it should be, cut off at its end above all. */
export function parseOpenMetrics(text: string): readonly MetricFamily[] | undefined {
  if (!text.endsWith("# EOF\n")) return undefined;
  const families: GrowingFamily[] = [];
  for (const line of text.split("\n")) {
    const type = TYPE.exec(line);
    if (type !== null) families.push({ name: type[1] as string, type: type[2] as MetricFamily["type"], samples: [] });
    if (line === "" || line.startsWith("#")) continue;
    const sample = parseSample(line, families.at(-1));
    if (sample === undefined) return undefined;
    families.at(-1)?.samples.push(sample);
  }
  return families;
}

function parseSample(line: string, family: MetricFamily | undefined): MetricSample | undefined {
  const [, name, labelText = "", number = ""] = SAMPLE.exec(line) ?? [];
  const labels = parseLabels(labelText);
  const value = numberOf(number);
  if (name === undefined || family === undefined || labels === undefined || value === undefined) return undefined;
  const suffix = family.type === "histogram" ? (SUFFIX.exec(name)?.[0] as MetricSample["suffix"]) : undefined;
  if (family.name + (suffix ?? "") !== name) return undefined;
  return { ...(suffix !== undefined && { suffix }), labels, value };
}

function parseLabels(text: string): MetricLabel[] | undefined {
  const labels: MetricLabel[] = [];
  LABEL.lastIndex = 0;
  for (let at = 0; at < text.length; at = LABEL.lastIndex) {
    const match = LABEL.exec(text);
    if (match === null) return undefined;
    labels.push([match[1] as string, unescapeLabel(match[2] as string)]);
  }
  return labels;
}

function unescapeLabel(text: string): string {
  return text.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
}

function numberOf(text: string): number | undefined {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  if (text === "NaN") return Number.NaN;
  const value = Number(text);
  return text === "" || Number.isNaN(value) ? undefined : value;
}
