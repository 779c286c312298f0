/** The off switch for users: RUNNING_PROCESS_DISABLE (spec: client §5). */
import { BrokerError } from "../base/errors.ts";
import type { Env } from "../platform/ports/index.ts";

/** Compared as it is, without trimming. */
const OFF = "1";

/** @throws BrokerError BROKER_DISABLED when it is exactly "1"; DISABLE_ENV_INVALID for any other value, the empty one too */
export function checkNotDisabled(env: Env): void {
  const value = env.RUNNING_PROCESS_DISABLE;
  if (value === undefined) return;
  if (value === OFF)
    throw new BrokerError(
      "BROKER_DISABLED",
      "RUNNING_PROCESS_DISABLE=1: the broker is turned off, use the direct path",
    );
  throw new BrokerError(
    "DISABLE_ENV_INVALID",
    `RUNNING_PROCESS_DISABLE is ${JSON.stringify(value.slice(0, 100))}, expected "1" or unset`,
    {
      details: { check: "RUNNING_PROCESS_DISABLE" },
    },
  );
}
