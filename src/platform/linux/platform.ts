import { systemClock } from "../node/clock.ts";
import { createFiles } from "../node/files.ts";
import { createUser } from "../node/user.ts";
import type { Platform } from "../ports/index.ts";
import { changeCounter } from "./change-counter.ts";
import { collapseHead } from "./collapse.ts";
import { fileFacts } from "./file-facts.ts";
import { createHost } from "./host.ts";
import { fileLocks } from "./locks.ts";
import { createProcesses } from "./processes.ts";
import { unixTransport } from "./transport.ts";

export function createLinuxPlatform(): Platform {
  return {
    clock: systemClock,
    transport: unixTransport,
    processes: createProcesses(),
    files: createFiles({ facts: fileFacts, changeCounter, collapseHead }),
    locks: fileLocks,
    host: createHost(),
    user: createUser(),
  };
}
