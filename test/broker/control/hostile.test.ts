/** What a backend may say wrong on its channel ends that channel: not the backend, not the broker, not another channel. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { launchingIn, order } from "../../support/launching.ts";
import { createControlled } from "./support/controlled.ts";

const announce = "0106000000 08011002 2200".replaceAll(" ", "");
/** Lengths are those of the body that follows. */
const WRONG: readonly (readonly [what: string, says: string])[] = [
  ["garbage", "6761726261676521"],
  ["a frame above 64 KiB", "0101000100"],
  ["a frame of 4 GiB", "01ffffffff"],
  ["a frame that is none", "0102000000 ffff"],
  ["a control message that is none", "0108000000 08011002 2202 12ff"],
  ["reports of the wrong type", "010a000000 08011002 2204 12021a05"],
];

for (const [what, says] of WRONG) {
  test(`${what} ends the channel of the one that said it, which is served and can attach again`, async (t) => {
    const at = await createControlled(t);
    await at.launch("good");
    const pid = await at.launch("bad", { SAYS: says.replaceAll(" ", "") }, "control-by-hand.mjs");
    await eventuallyClosed(() => at.journal("bad"));
    const rows = async (): Promise<[string, string][]> =>
      JSON.parse((await at.release("/w", "--json")).stdout).brokers[0].backends.map((row: Record<string, string>) => [
        row.service_name,
        row.result,
      ]);
    assert.deepEqual(await rows(), [
      ["good", "nothing-held"],
      ["bad", "unsupported"],
    ]);
    const { backendPipe } = await launchingIn(at.world, at.broker).negotiated("bad");
    await order(backendPipe, "attach");
    await at.broker.logged(/"control-attached"/);
    while ((await rows())[1]?.[1] !== "nothing-held");
    assert.deepEqual(launchingIn(at.world, at.broker).pids("bad"), [pid]);
  });
}

async function eventuallyClosed(journal: () => string[]): Promise<void> {
  while (!journal().includes("closed")) await new Promise((resolve) => setImmediate(resolve));
}

test("messages and fields that nobody knows yet are passed over", async (t) => {
  const at = await createControlled(t);
  // An empty message, an unknown arm, an unknown field and unknown bits in the announcement, a frame that answers nothing.
  const says = [
    announce,
    "0108000000 08011002 2202 7a00",
    "010e000000 08011002 2208 0a0610ff01 a20100",
    "0108000000 08011001 18ffa103",
  ];
  await at.launch("later", { SAYS: says.join("").replaceAll(" ", "") }, "control-by-hand.mjs");
  const { code, stdout } = await at.release("/w");
  assert.deepEqual([code, /later .* nothing-held/.test(stdout)], [0, true], at.journal("later").join());
});
