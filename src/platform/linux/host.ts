/** The machine and the user (spec: names §1, identity §2). */
import { readdirSync, readFileSync, statfsSync } from "node:fs";
import { hostname } from "node:os";
import { BrokerError } from "../../base/errors.ts";
import { hash16 } from "../../model/places.ts";
import { attempt, errnoOf, fromNodeError, ioFailed } from "../errno.ts";
import type { Host } from "../ports/index.ts";
import { lastErrno } from "../posix/libc.ts";
import { getrandom } from "./kernel/libc.ts";

const MACHINE_ID_FILES = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";
const UNKNOWN_BOOT = "unknown";

export function createHost(): Host {
  // Looked up when asked for, and remembered: neither changes while the machine runs.
  let known: string | undefined;
  const bootId = (): string => {
    known ??= readTrimmed(BOOT_ID_FILE) ?? UNKNOWN_BOOT;
    return known;
  };
  let userHash: string | undefined;
  return {
    os: "linux",
    isPrivileged: () => process.geteuid?.() === 0,
    userHash: () => {
      // The real uid and the machine id; a machine without one gets the boot id, as later versions of the reference do.
      userHash ??= hash16(`${process.getuid?.()}:${machineId() ?? `boot:${requireBootId(bootId())}`}`);
      return userHash;
    },
    bootId,
    machineId: () => machineId() ?? `boot:${bootId()}`,
    hostname: () => attempt("host name", hostname) || "unknown",
    randomBytes,
    inodeUsage,
    descriptorUsage,
  };
}

/** From the kernel itself: Node's own function would have every process load all of its cryptography. */
function randomBytes(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length; ) {
    const got = getrandom(bytes.subarray(filled), length - filled, 0);
    if (got >= 0) filled += got;
    else {
      const errno = lastErrno();
      if (errno !== "EINTR") throw ioFailed("getrandom", errno);
    }
  }
  return bytes;
}

function machineId(): string | undefined {
  for (const file of MACHINE_ID_FILES) {
    const id = readTrimmed(file);
    if (id !== undefined && id !== "") return id;
  }
  return undefined;
}

function requireBootId(bootId: string): string {
  if (bootId !== UNKNOWN_BOOT) return bootId;
  throw new BrokerError(
    "IO_FAILED",
    `this machine has no id: neither ${MACHINE_ID_FILES.join(" nor ")} nor ${BOOT_ID_FILE} can be read: mount /proc, or make one with systemd-machine-id-setup`,
    { details: { errno: "ENOENT" } },
  );
}

/** Undefined when the file does not exist. @throws BrokerError IO_FAILED for every other failure */
function readTrimmed(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw fromNodeError(error, file);
  }
}

function inodeUsage(path: string): { total: bigint; free: bigint } | undefined {
  try {
    const { files, ffree } = statfsSync(path, { bigint: true });
    return files === 0n ? undefined : { total: files, free: ffree };
  } catch {
    return undefined;
  }
}

function descriptorUsage(): { open: number; limit: number } {
  return attempt("/proc/self", () => {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return {
      // The directory itself is open while it is read.
      open: readdirSync("/proc/self/fd").length - 1,
      limit: limit === undefined || limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit),
    };
  });
}
