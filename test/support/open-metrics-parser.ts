/**
 * A strict reader of OpenMetrics 1.0 text, written from the standard and without any of our code. It accepts nothing that
 * the standard forbids; `frozenCounterNames` allows the one spelling in which the broker's own text deviates from it.
 */
export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly samples: readonly ParsedSample[];
}

export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ["_total", "_created"],
  gauge: [""],
  histogram: ["_bucket", "_count", "_sum", "_created"],
  gaugehistogram: ["_bucket", "_gcount", "_gsum"],
  summary: ["", "_count", "_sum", "_created"],
  info: ["_info"],
  stateset: [""],
  unknown: [""],
};

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const REAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;

interface Family {
  name: string;
  type: string;
  unit: string;
  described: Set<string>;
  samples: ParsedSample[];
}

export function parseStrictly(text: string, options: { frozenCounterNames?: boolean } = {}): ParsedFamily[] {
  if (!text.endsWith("\n# EOF\n") && text !== "# EOF\n") throw new Error("the text does not end in one EOF line");
  const lines = text.slice(0, -"# EOF\n".length).split("\n");
  if (lines.pop() !== "") throw new Error("the line before EOF has no end");
  const families: Family[] = [];
  for (const line of lines) {
    try {
      if (line.startsWith("#")) metadata(line, families, options);
      else sample(line, families);
    } catch (error) {
      throw new Error(`${(error as Error).message} in line ${JSON.stringify(line)}`);
    }
  }
  checkNames(families);
  for (const family of families) checkFamily(family);
  return families.map(({ name, type, samples }) => ({ name, type, samples }));
}

function metadata(line: string, families: Family[], options: { frozenCounterNames?: boolean }): void {
  const match = /^# (TYPE|UNIT|HELP) (\S+)(?: (.*))?$/.exec(line);
  if (match === null) throw new Error("neither TYPE, UNIT, HELP nor a sample");
  const [, word = "", written = "", text = ""] = match;
  const counter = word === "TYPE" && text === "counter" && written.endsWith("_total");
  if (counter && !options.frozenCounterNames) throw new Error("the family of a counter may not end in _total");
  const name = counter ? written.slice(0, -"_total".length) : written;
  if (!METRIC_NAME.test(name)) throw new Error("bad metric name");
  let family = families.at(-1);
  if (family === undefined || family.name !== name) {
    family = { name, type: "unknown", unit: "", described: new Set(), samples: [] };
    families.push(family);
  }
  if (family.samples.length > 0) throw new Error("metadata behind samples");
  if (family.described.has(word)) throw new Error(`second ${word}`);
  family.described.add(word);
  if (word === "TYPE") {
    if (!Object.hasOwn(SUFFIXES, text)) throw new Error("unknown type");
    family.type = text;
  } else if (word === "UNIT") family.unit = text;
  else if (/\\(?![\\n"])/.test(text)) throw new Error("bad escape in HELP");
}

function sample(line: string, families: Family[]): void {
  const family = families.at(-1);
  if (family === undefined) throw new Error("a sample before any family");
  const name = /^[^{ ]*/.exec(line)?.[0] ?? "";
  if (!SUFFIXES[family.type]?.some((suffix) => family.name + suffix === name))
    throw new Error(`${name} is no sample of a ${family.type} named ${family.name}`);
  let rest = line.slice(name.length);
  let labels: Record<string, string> = {};
  if (rest.startsWith("{")) ({ labels, rest } = labelSet(rest));
  const value = /^ (\S+)$/.exec(rest)?.[1];
  if (value === undefined) throw new Error("no value, or more than a value");
  family.samples.push({ name, labels, value: number(value) });
}

function labelSet(text: string): { labels: Record<string, string>; rest: string } {
  const labels: Record<string, string> = {};
  let at = 1;
  while (text[at] !== "}") {
    const name = /^[^=]*/.exec(text.slice(at))?.[0] ?? "";
    if (!LABEL_NAME.test(name)) throw new Error("bad label name");
    if (Object.hasOwn(labels, name)) throw new Error("label given twice");
    at += name.length;
    if (text.slice(at, at + 2) !== '="') throw new Error("no value of a label");
    let value = "";
    for (at += 2; text[at] !== '"'; at++) {
      if (at >= text.length) throw new Error("label value without end");
      if (text[at] !== "\\") value += text[at];
      else {
        at++;
        if (!["\\", '"', "n"].includes(text[at] ?? "")) throw new Error("bad escape");
        value += text[at] === "n" ? "\n" : text[at];
      }
    }
    labels[name] = value;
    at++;
    if (text[at] === ",") {
      at++;
      if (text[at] === "}") throw new Error("comma behind the last label");
    } else if (text[at] !== "}") throw new Error("no comma between labels");
  }
  return { labels, rest: text.slice(at + 1) };
}

function number(text: string): number {
  if (/^[+-]?inf(inity)?$/i.test(text))
    return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (/^nan$/i.test(text)) return Number.NaN;
  if (!REAL.test(text)) throw new Error("bad number");
  return Number(text);
}

/** No two families may have names, or names of samples, in common. */
function checkNames(families: readonly Family[]): void {
  const seen = new Set<string>();
  for (const { name, type, unit } of families) {
    for (const taken of new Set([name, ...(SUFFIXES[type] ?? []).map((suffix) => name + suffix)])) {
      if (seen.has(taken)) throw new Error(`two families would have the name ${taken}`);
      seen.add(taken);
    }
    if (unit !== "" && !name.endsWith(`_${unit}`)) throw new Error(`${name} does not end in its unit ${unit}`);
  }
}

function checkFamily({ name, type, samples }: Family): void {
  const seen = new Set<string>();
  const groups: string[] = [];
  for (const { name: sampleName, labels, value } of samples) {
    const id = sampleName + JSON.stringify(Object.entries(labels).sort());
    if (seen.has(id)) throw new Error(`sample given twice: ${id}`);
    seen.add(id);
    const group = JSON.stringify(
      Object.entries(labels)
        .filter(([label]) => !(type === "histogram" && label === "le"))
        .sort(),
    );
    if (groups.at(-1) !== group) {
      if (groups.includes(group)) throw new Error(`series of ${name} are mixed: ${group}`);
      groups.push(group);
    }
    if (type === "counter" && !(value >= 0)) throw new Error(`counter below zero: ${id}`);
  }
  if (type === "histogram")
    for (const group of groups)
      checkHistogram(
        name,
        samples.filter(
          ({ labels }) =>
            JSON.stringify(
              Object.entries(labels)
                .filter(([label]) => label !== "le")
                .sort(),
            ) === group,
        ),
      );
}

function checkHistogram(name: string, samples: readonly ParsedSample[]): void {
  let [bound, below] = [Number.NEGATIVE_INFINITY, 0];
  for (const { labels, value } of samples.filter((one) => one.name === `${name}_bucket`)) {
    const le = labels.le;
    if (le === undefined) throw new Error("a bucket without le");
    if (le !== "+Inf" && !/[.e]/.test(le)) throw new Error(`le ${le} is not canonical`);
    if (!(number(le) > bound)) throw new Error("bounds do not grow");
    if (!(Number.isInteger(value) && value >= below)) throw new Error("buckets do not accumulate");
    [bound, below] = [number(le), value];
  }
  const only = (suffix: string): number | undefined => samples.find((one) => one.name === name + suffix)?.value;
  if (bound !== Number.POSITIVE_INFINITY) throw new Error("no bucket for +Inf");
  if (only("_count") !== below) throw new Error("count is not that of the last bucket");
  if (!((only("_sum") ?? -1) >= 0)) throw new Error("no sum");
}
