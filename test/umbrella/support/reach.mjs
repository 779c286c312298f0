/**
 * A client in whatever surroundings: prints {"route" | "thrown", "ms", "fallback", "message"} of one call with a fallback.
 * CALL: `connect` (default) or `openSession`. FAULT_AT and FAULT_ERRNO: which call of the system fails, of those that the first
 * call of the library makes.
 */
import { Socket } from "node:net";

const { CALL = "connect", CLIENT_ENTRY, FAULT_AT, FAULT_ERRNO } = process.env;
// By the environment: there may be no directory to find it from.
const client = await import(CLIENT_ENTRY);
if (FAULT_AT !== undefined) (await import("./faults.mjs")).arm(Number(FAULT_AT), FAULT_ERRNO);
const began = process.hrtime.bigint();
let reason;
const options = {
  service: "demo",
  version: "1.0.0",
  timeoutMs: 20_000,
  fallback: async (error) => {
    reason = error;
    return new Socket();
  },
};
const answer = await client[CALL](options).then(
  async (result) => {
    await (result.close?.() ?? result.socket.destroy());
    return { route: result.route ?? result.connection.route };
  },
  (error) => ({ thrown: error.code ?? String(error) }),
);
const ms = Number((process.hrtime.bigint() - began) / 1_000_000n);
process.stdout.write(`${JSON.stringify({ ...answer, ms, fallback: reason?.code, message: reason?.message })}\n`);
