// Measures Hellos of brokers, and the same bytes on floors, interleaved. A broker with several targets is asked for one
// after the other. With `servers`, their pids, each is measured on one processor and on two.
//
// Task: { samples, warmUp, brokers: { id: [{ endpoint, service, version }] }, floors: { id: path }, bytes, servers? }.
import { interleave } from "../frame/interleave.mjs";
import { encodeHello, sayHello } from "../lean/hello.mjs";
import { close, dial, sendAll, socketAddress } from "../lean/libc.mjs";
import { measurePlaced } from "../lean/processors.mjs";
import { forgetFrames, readFrame, skipBytes } from "../lean/read-frame.mjs";

const { samples, warmUp, brokers, floors, bytes, servers } = JSON.parse(process.argv[2]);
const contenders = {};

for (const [id, targets] of Object.entries(brokers)) {
  const asked = targets.map(({ endpoint, service, version }) => ({
    address: socketAddress(endpoint),
    hello: encodeHello({ service, version, pid: process.pid }),
  }));
  for (const { address, hello } of asked) sayHello(address, hello);
  let next = 0;
  contenders[id] = () => {
    const { address, hello } = asked[next];
    next = (next + 1) % asked.length;
    const fd = dial(address);
    forgetFrames();
    sendAll(fd, hello);
    readFrame(fd);
    close(fd);
  };
}

for (const [id, path] of Object.entries(floors)) {
  const address = socketAddress(path);
  const request = Buffer.alloc(bytes.readBytes, "h");
  contenders[id] = () => {
    const fd = dial(address);
    sendAll(fd, request);
    skipBytes(fd, bytes.writeBytes);
    close(fd);
  };
}

const measure = () => interleave(contenders, { samples, warmUp });
process.stdout.write(JSON.stringify(await (servers === undefined ? measure() : measurePlaced(servers, measure))));
