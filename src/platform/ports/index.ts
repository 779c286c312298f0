/**
 * What the rest of the package needs from the operating system, as interfaces. Modules take the parts they use
 * (`Pick<Platform, "clock" | "processes">`); `loadPlatform()` in platform/platform.ts supplies the real ones.
 *
 * Ownership: a function whose doc says "consumes" takes over what it is given, also when it throws; otherwise it
 * borrows. Every object with `close()` may be closed more than once.
 */
import type { Clock } from "../../base/clock.ts";
import type { Endpoints } from "./endpoints.ts";
import type { Files } from "./files.ts";
import type { Host } from "./host.ts";
import type { Locks } from "./locks.ts";
import type { Paths } from "./paths.ts";
import type { Processes } from "./processes.ts";
import type { Transport } from "./transport.ts";
import type { User } from "./user.ts";

export type * from "./endpoints.ts";
export type * from "./executables.ts";
export type * from "./files.ts";
export type * from "./host.ts";
export type * from "./locks.ts";
export type * from "./logs.ts";
export type * from "./passing.ts";
export type * from "./paths.ts";
export type * from "./processes.ts";
export type * from "./transport.ts";
export type * from "./user.ts";
export type * from "./watching.ts";

export interface Platform {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly processes: Processes;
  readonly files: Files;
  readonly paths: Paths;
  readonly endpoints: Endpoints;
  readonly locks: Locks;
  readonly host: Host;
  readonly user: User;
}

/** A process's environment variables, as given to every module that needs some. */
export type Env = Readonly<Record<string, string | undefined>>;
