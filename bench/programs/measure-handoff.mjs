// Measures all routes of each client, interleaved.
//
// Task: { samples, warmUp, broker, service, version, protocol, nodeSend }.
import { interleave } from "../frame/interleave.mjs";
import { createLeanClient } from "../lean/lean-client.mjs";
import { createLibraryClient } from "./library-client.mjs";

const { samples, warmUp, ...target } = JSON.parse(process.argv[2]);
const options = { ...target, payload: Buffer.alloc(64, "x"), pid: process.pid };
const clients = { lean: createLeanClient(options).use, library: await createLibraryClient(options) };

const report = {};
for (const [client, routes] of Object.entries(clients)) {
  const measured = await interleave(routes, { samples, warmUp });
  for (const [route, micros] of Object.entries(measured)) report[`${client}-${route}`] = micros;
}
process.stdout.write(JSON.stringify(report));
