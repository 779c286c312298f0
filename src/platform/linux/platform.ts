import { systemClock } from "../node/clock.ts";
import type { Platform } from "../ports/index.ts";
import { createEndpoints } from "../posix/files/endpoints.ts";
import { createFiles } from "../posix/files/files.ts";
import { fileLocks } from "../posix/files/locks.ts";
import { createUnixTransport } from "../posix/sockets/transport.ts";
import { createUser } from "../posix/user.ts";
import { createBoundProbe } from "./bound-probe.ts";
import { changeCounter } from "./change-counter.ts";
import { collapseHead } from "./collapse.ts";
import { fileFacts } from "./file-facts.ts";
import { createHost } from "./host.ts";
import { createProcesses } from "./processes/processes.ts";
import { createConnection, listeners } from "./sockets.ts";
import { linuxSystem } from "./system.ts";

export function createLinuxPlatform(): Platform {
  const files = createFiles({ facts: fileFacts, changeCounter, collapseHead });
  return {
    clock: systemClock,
    transport: createUnixTransport({ system: linuxSystem, createConnection, listeners, isBound: createBoundProbe() }),
    processes: createProcesses(),
    files,
    paths: files.paths,
    endpoints: createEndpoints(files),
    locks: fileLocks,
    host: createHost(),
    user: createUser(),
  };
}
