// One load process: keeps a number of connections busy with Hellos (or, on a floor, with the same bytes) for a while,
// each time it is told to. A connection that has its answer is closed, and the next takes its place.
//
// All in one loop over poll(2), because that loads the machine least: a process for each connection would spend most of
// its time in the scheduler. With one connection it blocks in recv(2) instead.
//
// Task: { routes: { id: { path, service?, version? } }, bytes }. Each line on stdin is { route, connections, ms };
// each line on stdout what came of it: { hellos, tookMs, micros }.
import { createInterface } from "node:readline";
import { tenths } from "../frame/interleave.mjs";
import { encodeHello, sayHello } from "../lean/hello.mjs";
import { close, dial, failed, POLLIN, poll, recv, sendAll, socketAddress } from "../lean/libc.mjs";

const HEADER_BYTES = 5;
const POLL_ENTRY_BYTES = 8;
const { routes, bytes } = JSON.parse(process.argv[2]);
const room = Buffer.alloc(64 * 1024);

const prepared = Object.fromEntries(
  Object.entries(routes).map(([id, { path, service, version }]) => {
    const address = socketAddress(path);
    if (service === undefined) {
      const request = Buffer.alloc(bytes.readBytes, "h");
      return [id, { address, request, replyBytes: () => bytes.writeBytes }];
    }
    const request = encodeHello({ service, version, pid: process.pid });
    sayHello(address, request);
    return [id, { address, request, replyBytes: () => HEADER_BYTES + room.readUInt32LE(1) }];
  }),
);
process.stdout.write("ready\n");

for await (const line of createInterface({ input: process.stdin })) {
  const { route, connections, ms } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(run(prepared[route], connections, ms))}\n`);
}

function run({ address, request, replyBytes }, connections, ms) {
  const entries = Buffer.alloc(connections * POLL_ENTRY_BYTES);
  const slots = Array.from({ length: connections }, () => ({ fd: -1, startedAt: 0, missing: 0 }));
  const micros = [];
  const begun = performance.now();
  let open = 0;

  const begin = (slot, index) => {
    slot.startedAt = performance.now();
    slot.fd = dial(address);
    slot.missing = 0;
    sendAll(slot.fd, request);
    entries.writeInt32LE(slot.fd, index * POLL_ENTRY_BYTES);
    entries.writeInt16LE(POLLIN, index * POLL_ENTRY_BYTES + 4);
    open++;
  };
  const take = (slot, index) => {
    const got = Number(recv(slot.fd, room, room.length, 0));
    if (got === 0) throw new Error("the connection ended before the answer");
    if (got < 0) throw failed("recv");
    // Its length is in its first piece, which is all of it unless the machine is in great trouble.
    if (slot.missing === 0) slot.missing = replyBytes();
    slot.missing -= got;
    if (slot.missing > 0) return;
    close(slot.fd);
    open--;
    const now = performance.now();
    micros.push(tenths((now - slot.startedAt) * 1000));
    // poll(2) leaves out what is negative.
    entries.writeInt32LE(-1, index * POLL_ENTRY_BYTES);
    if (now - begun < ms) begin(slot, index);
  };

  for (const [index, slot] of slots.entries()) begin(slot, index);
  while (open > 0) {
    if (connections === 1) {
      take(slots[0], 0);
      continue;
    }
    if (poll(entries, connections, -1) < 0) throw failed("poll");
    for (let index = 0; index < connections; index++)
      if (entries.readInt16LE(index * POLL_ENTRY_BYTES + 6) !== 0) take(slots[index], index);
  }
  return { hellos: micros.length, tookMs: performance.now() - begun, micros };
}
