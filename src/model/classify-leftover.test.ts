import assert from "node:assert/strict";
import test from "node:test";
import { classifyLeftover, type LeftoverEvidence, type LeftoverVerdict } from "./classify-leftover.ts";

const GOOD: LeftoverEvidence = { record: "ready", ourBroker: true, sameBoot: true, process: "same", proof: "proved" };

const ROWS: readonly [what: string, change: Partial<LeftoverEvidence>, verdict: LeftoverVerdict][] = [
  ["all agrees", {}, "adopt"],
  ["its endpoint is busy", { proof: "busy" }, "adopt"],
  ["its record is torn", { record: "unreadable" }, "leave"],
  ["its record is torn and nothing else fits", { record: "unreadable", process: "gone", sameBoot: false }, "leave"],
  ["it is another broker's", { ourBroker: false }, "leave"],
  ["it is another broker's and dead", { ourBroker: false, process: "gone" }, "leave"],
  ["another broker is launching it", { ourBroker: false, record: "launching" }, "leave"],
  ["its launch was cut short", { record: "launching", process: "gone", proof: "untried" }, "reap"],
  ["it is from another boot", { sameBoot: false }, "reap"],
  ["its process is gone", { process: "gone", proof: "untried" }, "reap"],
  ["its pid was reused", { process: "another", proof: "untried" }, "reap"],
  ["it became another program", { process: "other-program", proof: "untried" }, "leave"],
  ["nobody listens any more", { proof: "closed" }, "reap"],
  ["its binary was replaced", { proof: "refuted" }, "reap"],
  ["it was not verified", { proof: "untried" }, "reap"],
];

for (const [what, change, verdict] of ROWS)
  test(`a leftover is ${verdict === "leave" ? "left alone" : `${verdict}ed`} when ${what}`, () =>
    assert.equal(classifyLeftover({ ...GOOD, ...change }), verdict));

test("nothing but a live process of ours, of this boot and with the recorded program, is ever adopted", () => {
  for (const record of ["unreadable", "launching", "ready"] as const)
    for (const ourBroker of [true, false])
      for (const sameBoot of [true, false])
        for (const process of ["same", "gone", "another", "other-program"] as const)
          for (const proof of ["proved", "busy", "closed", "refuted", "untried"] as const) {
            const adopted = classifyLeftover({ record, ourBroker, sameBoot, process, proof }) === "adopt";
            const may = record === "ready" && ourBroker && sameBoot && process === "same";
            assert.equal(adopted, may && (proof === "proved" || proof === "busy"));
          }
});
