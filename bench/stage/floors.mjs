// Servers that do the same bytes as a broker or a backend and nothing else. Each is a process of its own.
import { join } from "node:path";
import { startServer } from "../frame/children.mjs";
import { encodeHello, sayHello } from "../lean/hello.mjs";
import { socketAddress } from "../lean/libc.mjs";
import { SERVICE, VERSION } from "./world.mjs";

/** Bytes of a lean client's Hello and of the reply to it. Launches the backend when none runs. */
export function helloBytes(endpoint) {
  const hello = encodeHello({ service: SERVICE, version: VERSION, pid: process.pid });
  const { replyBytes } = sayHello(socketAddress(endpoint), hello);
  return { readBytes: hello.length, writeBytes: replyBytes };
}

/**
 * `paths`, addresses by name: `koffi` (the floor), `blocking` (the same without an event loop), `thorough` (the same with a
 * broker's system calls), `net` (Node's net.Server).
 */
export async function startHelloFloors({ root, endpoint }) {
  const bytes = helloBytes(endpoint);
  const names = ["koffi", "blocking", "thorough", "net"];
  const paths = Object.fromEntries(names.map((name) => [name, join(root, name)]));
  const servers = await Promise.all([
    startServer("koffi-server.mjs", { ...bytes, path: paths.koffi }),
    startServer("koffi-server.mjs", { ...bytes, path: paths.blocking, blocking: true }),
    startServer("koffi-server.mjs", { ...bytes, path: paths.thorough, thorough: true }),
    startServer("net-server.mjs", { ...bytes, path: paths.net, mode: "once" }),
  ]);
  return { paths, bytes, pids: servers.map(({ pid }) => pid) };
}

/** A net.Server that writes back what it gets. */
export async function startEcho({ root }) {
  const path = join(root, "echo");
  const { pid } = await startServer("net-server.mjs", { path, mode: "echo" });
  return { path, pid };
}

/** Address of a server that hands each connection to its child with `subprocess.send`. */
export async function startNodeSend({ root }) {
  const path = join(root, "send");
  await startServer("node-send.mjs", { path });
  return path;
}
