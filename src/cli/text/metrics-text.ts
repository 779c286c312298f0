/** Metrics as a table: a line a series, histograms as count, mean and the bound below which 99 of 100 are. */
import type { MetricFamily, MetricSample } from "../../model/open-metrics.ts";
import { alignColumns, cell } from "./status-text.ts";

const PREFIX = /^running_process_broker_v1_/;

export function metricsLines(families: readonly MetricFamily[]): string[] {
  const rows = families.flatMap((family) => {
    const name = cell(family.name.replace(PREFIX, ""));
    const series = family.type === "histogram" ? histogramRows(family.samples) : family.samples.map(plainRow);
    return series.length === 0 ? [[name, "", "none"]] : series.map((cells) => [name, ...cells]);
  });
  return alignColumns([["METRIC", "LABELS", "VALUE"], ...rows]);
}

function plainRow({ labels, value }: MetricSample): string[] {
  return [labelText(labels), cell(Number.isInteger(value) ? value : Number(value.toPrecision(4)))];
}

function histogramRows(samples: readonly MetricSample[]): string[][] {
  const series = new Map<string, MetricSample[]>();
  for (const sample of samples) {
    const id = labelText(sample.labels.filter(([name]) => name !== "le"));
    series.set(id, [...(series.get(id) ?? []), sample]);
  }
  return [...series].map(([labels, all]) => {
    const count = all.find(({ suffix }) => suffix === "_count")?.value ?? 0;
    const sum = all.find(({ suffix }) => suffix === "_sum")?.value ?? 0;
    if (count === 0) return [labels, "0"];
    const bucket = all.find(({ suffix, value }) => suffix === "_bucket" && value >= count * 0.99);
    const bound = bucket?.labels.find(([name]) => name === "le")?.[1] ?? "?";
    const tail = bound === "+Inf" ? "above all bounds" : `<= ${seconds(Number(bound))}`;
    return [labels, `${count}, mean ${seconds(sum / count)}, 99% ${tail}`];
  });
}

function labelText(labels: MetricSample["labels"]): string {
  return labels.map(([name, value]) => `${name}=${cell(value)}`).join(" ");
}

function seconds(value: number): string {
  if (value < 0.001) return `${Number((value * 1e6).toPrecision(3))} us`;
  return value < 1 ? `${Number((value * 1e3).toPrecision(3))} ms` : `${Number(value.toPrecision(3))} s`;
}
