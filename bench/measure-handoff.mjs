// The measuring process. For each client, all routes are interleaved sample by sample, in a new random order each round,
// so that whatever else the machine does, and whatever one use leaves to broker and backend to tidy up, falls on all
// alike.
//
// Prints samples in microseconds as JSON: { client: { route: [...] } }.
import { createLeanClient } from "./lean-client.mjs";
import { createLibraryClient } from "./library-client.mjs";

const WARM_UP_ROUNDS = 2000;
const PROTOCOL = 0xf101;

const { samples, ...target } = JSON.parse(process.argv[2]);
const options = { ...target, protocol: PROTOCOL, payload: Buffer.alloc(64, "x"), pid: process.pid };
const clients = { lean: createLeanClient(options), library: await createLibraryClient(options) };

const report = {};
for (const [client, routes] of Object.entries(clients)) {
  const contenders = Object.entries(routes).map(([route, use]) => ({ route, use, micros: new Float64Array(samples) }));
  for (let round = -WARM_UP_ROUNDS; round < samples; round++) {
    for (const { use, micros } of shuffled(contenders)) {
      const startedAt = performance.now();
      const pending = use();
      // A blocking client has its answer here; waiting for nothing would add a turn of the promise queue to it.
      if (pending instanceof Promise) await pending;
      const took = performance.now() - startedAt;
      if (round >= 0) micros[round] = took * 1000;
    }
  }
  report[client] = Object.fromEntries(
    contenders.map(({ route, micros }) => [route, Array.from(micros, (each) => Math.round(each * 10) / 10)]),
  );
}
process.stdout.write(JSON.stringify(report));

function shuffled(items) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}
