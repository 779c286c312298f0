/**
 * Directories that hold sockets and definitions. Whoever can write there decides what gets run, so they must be real
 * directories of ours, closed to others; an existing one is verified and never repaired, because repairing would hide
 * that somebody else could already have used it.
 */
import { mkdirSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { BrokerError } from "../../base/errors.ts";
import { errnoOf, fromNodeError } from "../errno.ts";
import type { FileFacts, Files } from "../ports.ts";

const PRIVATE_MODE = 0o700;
const OTHERS = 0o077;
const WORLD_WRITABLE = 0o002;
const MAX_VERIFIED = 64;

export interface PrivateDirectories {
  /** @see Files.ensurePrivateDirectory */
  ensure(path: string): void;
  /** @see Files.checkPrivateDirectory */
  check(path: string): boolean;
}

export function createPrivateDirectories(facts: Files["facts"]): PrivateDirectories {
  return new VerifiedDirectories(facts);
}

class VerifiedDirectories implements PrivateDirectories {
  private readonly uid = process.geteuid?.();
  /** Directories whose ancestors were looked at, by path: every Hello asks for the same one. */
  private readonly verified = new Map<string, Pick<FileFacts, "dev" | "ino"> & { readonly leaf: string }>();

  constructor(private readonly facts: Files["facts"]) {}

  ensure(path: string): void {
    if (!isAbsolute(path)) throw insecure(path, "kind", "it is not an absolute path");
    this.createMissing(resolve(path));
    if (!this.check(path))
      throw new BrokerError("IO_FAILED", `directory ${path} vanished while it was being created`, {
        details: { path, errno: "ENOENT" },
      });
  }

  check(path: string): boolean {
    const known = this.verified.get(path);
    // A slash or a dot behind a link would lead through it.
    const leaf = known?.leaf ?? resolve(path);
    const facts = this.look(leaf);
    if (facts === undefined) return false;
    this.checkOwn(leaf, facts);
    if ((facts.mode & OTHERS) !== 0) {
      throw insecure(
        leaf,
        "mode",
        `it has insecure permissions ${(facts.mode & 0o777).toString(8).padStart(4, "0")}, expected 0700 (mend with: chmod 700 ${leaf})`,
      );
    }
    // Whoever swaps an ancestor makes another directory appear here; while it is the same one, its ancestors are.
    if (known?.ino !== facts.ino || known.dev !== facts.dev) {
      this.checkAncestors(leaf);
      if (this.verified.size >= MAX_VERIFIED) this.verified.clear();
      this.verified.set(path, { leaf, dev: facts.dev, ino: facts.ino });
    }
    return true;
  }

  /**
   * Below a directory that everybody may write to (such as /tmp) the first component can have been made by anybody;
   * it must be ours as well, or it could be swapped under us.
   */
  private checkAncestors(leaf: string): void {
    for (let child = leaf, parent = dirname(child); parent !== child; child = parent, parent = dirname(child)) {
      const facts = this.look(parent);
      if (facts === undefined || (facts.mode & WORLD_WRITABLE) === 0) continue;
      const below = this.look(child);
      if (below !== undefined && below.uid !== 0) this.checkOwn(child, below);
    }
  }

  private checkOwn(path: string, { kind, uid }: FileFacts): void {
    if (kind === "link") throw insecure(path, "link", "it is a symbolic link");
    if (kind !== "directory") throw insecure(path, "kind", "it is not a directory");
    if (uid !== this.uid) throw insecure(path, "owner", `it belongs to uid ${uid}, expected ${this.uid}`);
  }

  private createMissing(path: string): void {
    if (this.look(path) !== undefined) return;
    this.createMissing(dirname(path));
    try {
      mkdirSync(path, { mode: PRIVATE_MODE });
    } catch (error) {
      // Somebody was faster; what they made is verified like any other.
      if (errnoOf(error) !== "EEXIST") throw fromNodeError(error, path);
    }
  }

  private look(path: string): FileFacts | undefined {
    try {
      return this.facts(path);
    } catch (error) {
      if (errnoOf(error) === "ENOTDIR") throw insecure(path, "kind", "a parent of it is not a directory");
      throw error;
    }
  }
}

function insecure(path: string, check: "owner" | "mode" | "link" | "kind", why: string): BrokerError {
  return new BrokerError("DIRECTORY_INSECURE", `directory ${path} cannot be trusted: ${why}`, {
    details: { path, check },
  });
}
