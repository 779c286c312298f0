/** A broker launches programs for its user; as root it would do so with everybody's rights (spec: server §2). */
import { BrokerError } from "../../base/errors.ts";
import type { Env, Platform } from "../../platform/ports/index.ts";

const OVERRIDE = "RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED";

/** @throws BrokerError PRIVILEGED_START unless the override is exactly "1" */
export function checkPrivilege(platform: Pick<Platform, "host" | "user">, env: Env): void {
  if (!platform.host.isPrivileged() || env[OVERRIDE] === "1") return;
  const identity = platform.host.os === "win32" ? "LocalSystem" : `root (uid ${platform.user.uid})`;
  throw new BrokerError(
    "PRIVILEGED_START",
    `the broker refuses to run as ${identity}: run it as the user it serves, or set ${OVERRIDE}=1`,
  );
}
