// A tool's whole run: reach the backend, starting whatever is missing, one request, done; or several such at once.
//
// Task: { service, version, broker?, clients? }.
import { openSession } from "running-process-broker/client";

const { clients = 1, ...options } = JSON.parse(process.argv[2]);
const payload = Buffer.from("hello");

await Promise.all(Array.from({ length: clients }, useOnce));

async function useOnce() {
  const session = await openSession({ ...options, firstRequest: { protocol: 0xf101, payload, idempotent: true } });
  const answer = await session.firstResponse;
  if (Buffer.compare(answer, payload) !== 0) throw new Error("another answer than expected");
  await session.close();
}
