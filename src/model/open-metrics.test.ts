import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type MetricFamily, renderBound, renderOpenMetrics, strictOpenMetrics } from "./open-metrics.ts";
import { parseOpenMetrics } from "./parse-open-metrics.ts";

test("families are written in order, with the frozen spelling of counters, and EOF at the end", () => {
  const text = renderOpenMetrics([
    { name: "a_total", type: "counter", samples: [{ labels: [["x", "1"]], value: 3 }] },
    { name: "b", type: "gauge", samples: [{ labels: [], value: 0.25 }] },
    {
      name: "c",
      type: "histogram",
      samples: [
        { suffix: "_bucket", labels: [["le", renderBound(1)]], value: 0 },
        { suffix: "_bucket", labels: [["le", "+Inf"]], value: 1 },
        { suffix: "_count", labels: [], value: 1 },
        { suffix: "_sum", labels: [], value: Number.POSITIVE_INFINITY },
      ],
    },
    { name: "d", type: "gauge", samples: [] },
  ]);
  assert.equal(
    text,
    [
      "# TYPE a_total counter",
      'a_total{x="1"} 3',
      "# TYPE b gauge",
      "b 0.25",
      "# TYPE c histogram",
      'c_bucket{le="1.0"} 0',
      'c_bucket{le="+Inf"} 1',
      "c_count 1",
      "c_sum +Inf",
      "# TYPE d gauge",
      "# EOF",
      "",
    ].join("\n"),
  );
  assert.equal(strictOpenMetrics(text), text.replace("# TYPE a_total counter", "# TYPE a counter"));
});

test("what looks like a TYPE line inside a label is left as it is", () => {
  const value = "\n# TYPE x_total counter\n";
  const text = renderOpenMetrics([{ name: "g", type: "gauge", samples: [{ labels: [["l", value]], value: 1 }] }]);
  assert.equal(strictOpenMetrics(text), text);
});

test("what was written is read again, whatever labels hold", () => {
  const label = fc.string({ unit: fc.constantFrom("\\", '"', "\n", "n", "}", "{", ",", "=", " ", "ä", "a") });
  fc.assert(
    fc.property(fc.uniqueArray(label), fc.double({ noNaN: true }), (values, value) => {
      const families: MetricFamily[] = [
        {
          name: "a_total",
          type: "counter",
          samples: values.map((text) => ({
            labels: [
              ["x", text],
              ["y", text],
            ],
            value,
          })),
        },
        { name: "h", type: "histogram", samples: [{ suffix: "_sum", labels: [], value }] },
      ];
      // Text has one zero.
      const expected = JSON.parse(JSON.stringify(families).replaceAll(":-0}", ":0}")) as unknown;
      assert.deepEqual(JSON.parse(JSON.stringify(parseOpenMetrics(renderOpenMetrics(families)))), expected);
    }),
  );
});

test("text that was cut off, or is none, is not taken for metrics", () => {
  for (const text of [
    "",
    "# TYPE a gauge\na 1\n",
    "a 1\n# EOF\n",
    "# TYPE a gauge\nb 1\n# EOF\n",
    "# TYPE a gauge\na x\n# EOF\n",
  ])
    assert.equal(parseOpenMetrics(text), undefined, text);
});
