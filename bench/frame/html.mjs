// A document as one HTML page that needs nothing else: tables, and for each unit of a benchmark a plot. Rows of many
// samples are drawn as the share of samples up to each value, rows of few as bars.
import { describeLimit, describeRun, describeTarget, describeVerdict, formatFigure, formatRatio } from "./format.mjs";
import { PLOTTED_SHARES } from "./statistics.mjs";

const COLOURS = ["#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#475569"];
const WIDTH = 760;
const CURVE = { height: 260, left: 48, right: 16, top: 12, bottom: 34 };
const BAR = { height: 22, labels: 330, values: 90 };
/** With fewer samples a distribution says nothing. */
const ENOUGH_FOR_CURVE = 100;

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 820px; padding: 0 1rem; color: #111; }
table { border-collapse: collapse; margin: .8rem 0; } td, th { padding: .15rem .7rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr + tr { border-top: 1px solid #e5e7eb; }
.missed { color: #b91c1c; font-weight: 600; } .met { color: #047857; } svg { display: block; margin: .6rem 0; }
svg text { font: 12px system-ui, sans-serif; fill: #333; } .swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
`;

export function renderHtml(document) {
  const about = document.smoke ? "<p>A smoke run: its figures mean nothing.</p>" : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>running-process-broker: benchmarks</title><style>${STYLE}</style></head>
<body><h1>running-process-broker: benchmarks</h1>
<p>${escapeHtml(describeRun(document))}, ${escapeHtml(document.startedAt)}</p>${about}
${document.benchmarks.map((benchmark) => section(benchmark, document.smoke)).join("\n")}
</body></html>
`;
}

function section(benchmark, smoke) {
  const { name, title, samples, seconds, error } = benchmark;
  const head = `<h2>${escapeHtml(name)}</h2><p>${escapeHtml(title)}</p>`;
  if (error !== undefined)
    return `<section>${head}<p class="missed">could not be measured: ${escapeHtml(error)}</p></section>`;
  const plots = [...new Set(benchmark.rows.map(({ unit }) => unit))].map((unit) => plot(benchmark.rows, unit)).join("");
  return `<section>${head}<p>${samples} samples, ${seconds} s</p>${table(benchmark)}${smoke ? "" : targets(benchmark)}${plots}</section>`;
}

function table({ rows }) {
  const body = rows.map((row) => {
    const ratios = row.ratio === null ? ["", ""] : [formatRatio(row.ratio.p50), formatRatio(row.ratio.p99)];
    const against = row.ratio === null ? "" : `of ${rows.find(({ id }) => id === row.against).name}`;
    const cells = [row.name, row.unit, formatFigure(row.p50), formatFigure(row.p99), ...ratios, against];
    return `<tr>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`;
  });
  return `<table><tr><th></th><th></th><th>P50</th><th>P99</th><th>P50</th><th>P99</th><th></th></tr>${body.join("")}</table>`;
}

function targets(benchmark) {
  if (benchmark.targets.length === 0) return "";
  const body = benchmark.targets.map((target) => {
    const cells = [describeTarget(benchmark, target), describeLimit(benchmark, target), formatFigure(target.value)];
    const verdict = `<td class="${target.met ? "met" : "missed"}">${describeVerdict(target)}</td>`;
    return `<tr>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}${verdict}</tr>`;
  });
  return `<table><tr><th>target</th><th></th><th>measured</th><th></th></tr>${body.join("")}</table>`;
}

function plot(all, unit) {
  const rows = all.filter((row) => row.unit === unit);
  const curves = rows.every((row) => row.n >= ENOUGH_FOR_CURVE && row.quantiles[0] > 0);
  return curves ? distribution(rows, unit) : bars(rows, unit);
}

function distribution(rows, unit) {
  const { height, left, right, top, bottom } = CURVE;
  // The slowest half per cent would squeeze everything else into a corner.
  const shown = PLOTTED_SHARES.map((share, at) => ({ share, at })).filter(({ share }) => share <= 0.995);
  const values = rows.flatMap(({ quantiles }) => shown.map(({ at }) => quantiles[at]));
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  const x = (value) => left + ((Math.log(value) - low) / (high - low || 1)) * (WIDTH - left - right);
  const y = (share) => top + (1 - share) * (height - top - bottom);
  const lines = rows.map(({ quantiles }, index) => {
    const points = shown.map(({ share, at }) => `${x(quantiles[at]).toFixed(1)},${y(share).toFixed(1)}`).join(" ");
    return `<polyline points="${points}" fill="none" stroke="${colour(index)}" stroke-width="2"/>`;
  });
  const shares = [0, 0.5, 0.99].map(
    (share) =>
      `<line x1="${left}" x2="${WIDTH - right}" y1="${y(share)}" y2="${y(share)}" stroke="#ddd"/><text x="${left - 6}" y="${y(share) + 4}" text-anchor="end">${share * 100} %</text>`,
  );
  const ticks = logTicks(Math.exp(low), Math.exp(high)).map(
    (value) =>
      `<line x1="${x(value)}" x2="${x(value)}" y1="${top}" y2="${height - bottom}" stroke="#eee"/><text x="${x(value)}" y="${height - bottom + 16}" text-anchor="middle">${formatFigure(value)}</text>`,
  );
  const legend = rows
    .map(
      ({ name }, index) =>
        `<span><span class="swatch" style="background:${colour(index)}"></span>${escapeHtml(name)}</span> `,
    )
    .join(" ");
  return `<p>Share of samples up to a value, ${escapeHtml(unit)}, logarithmic: ${legend}</p><svg role="img" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">${ticks.join("")}${shares.join("")}${lines.join("")}</svg>`;
}

function bars(rows, unit) {
  const most = Math.max(...rows.map(({ p50 }) => p50)) || 1;
  const room = WIDTH - BAR.labels - BAR.values;
  const drawn = rows.map(({ name, p50 }, index) => {
    const top = index * BAR.height;
    const width = Math.max(1, (p50 / most) * room);
    return `<text x="${BAR.labels - 8}" y="${top + 15}" text-anchor="end">${escapeHtml(name)}</text><rect x="${BAR.labels}" y="${top + 3}" width="${width.toFixed(1)}" height="${BAR.height - 6}" fill="${colour(index)}"/><text x="${BAR.labels + width + 6}" y="${top + 15}">${formatFigure(p50)} ${escapeHtml(unit)}</text>`;
  });
  const height = rows.length * BAR.height;
  return `<svg role="img" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">${drawn.join("")}</svg>`;
}

/** 1, 2 and 5 times the powers of ten in between. */
function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const step of [1, 2, 5]) ticks.push(step * 10 ** power);
  return ticks.filter((value) => value >= low && value <= high);
}

function colour(index) {
  return COLOURS[index % COLOURS.length];
}

function escapeHtml(text) {
  return String(text).replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
