/**
 * Directories that hold sockets, definitions and logs. Two rules:
 *
 * - To create in it, or to act on what lies in it: a real directory, ours, mode 0700. A user who could write there would
 *   decide what gets run.
 * - To connect to a socket in it: ours or root's, and no other user can replace the socket, because of its mode or because a
 *   directory of ours above it is closed. The reference makes its own directories with mode 0755, or 0775 under umask 0002;
 *   who listens is checked by the kernel's word on the peer.
 *
 * An existing directory is judged and never repaired: a repair would hide that others could have used it already. One that
 * is created gets its mode from mkdir(2), and from chmod(2) where the umask, which is the caller's, took bits away.
 */
import { chmodSync, lstatSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { BrokerError } from "../../../base/errors.ts";
import { type FileIdentity, sameFile } from "../../../model/file-identity.ts";
import { isFallbackDirectory } from "../../../model/places.ts";
import { errnoOf, fromNodeError } from "../../errno.ts";
import type { FileFacts, Files } from "../../ports/index.ts";
import { uidOf } from "../user.ts";
import { awaitOwnerBits } from "./private-file.ts";

const PRIVATE_MODE = 0o700;
/** What an owner needs to read a directory. */
const USABLE = 0o500;
const OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;
const WRITABLE_BY_GROUP = 0o020;
const WORLD_WRITABLE = 0o002;
/** Entries can be removed and renamed by their owners only (inode(7)). */
const STICKY = 0o1000;
const ROOT = 0;
const MAX_VERIFIED = 64;

export interface PrivateDirectories {
  /** @see Files.ensurePrivateDirectory */
  ensure(path: string): void;
  /** @see Files.checkPrivateDirectory */
  check(path: string): boolean;
  /** @see Files.checkConnectDirectory */
  checkConnect(path: string, options?: { readonly again?: boolean }): boolean;
}

export function createPrivateDirectories(files: Pick<Files, "facts" | "realpath">): PrivateDirectories {
  return new VerifiedDirectories(files);
}

class VerifiedDirectories implements PrivateDirectories {
  private readonly uid = process.geteuid?.();
  /** Directories whose ancestors were checked, by path: every Hello asks for the same one. */
  private readonly verified = new Map<string, FileIdentity & { readonly leaf: string }>();
  /** Directories that were found good to connect in. */
  private readonly connectable = new Set<string>();

  constructor(private readonly files: Pick<Files, "facts" | "realpath">) {}

  ensure(path: string): void {
    if (!isAbsolute(path)) throw insecure(path, "kind", "it is not an absolute path");
    const leaf = resolve(path);
    this.createMissing(leaf);
    if (this.look(leaf)?.kind === "directory") awaitOwnerBits(leaf, PRIVATE_MODE);
    if (!this.check(path))
      throw new BrokerError("IO_FAILED", `directory ${path} vanished while it was being created`, {
        details: { path, errno: "ENOENT" },
      });
  }

  check(path: string): boolean {
    const known = this.verified.get(path);
    // A slash or a dot behind a link would lead through it.
    const leaf = known?.leaf ?? resolve(path);
    // Both levels of it are made by this package only.
    if (isFallbackDirectory(leaf)) {
      const parent = this.look(dirname(leaf));
      if (parent === undefined) return false;
      this.checkPrivate(dirname(leaf), parent);
    }
    const facts = this.look(leaf);
    if (facts === undefined) return false;
    this.checkPrivate(leaf, facts);
    // Whoever swaps an ancestor makes another directory appear here; while it is the same one, its ancestors are.
    if (!sameFile(known, facts)) {
      this.checkAncestors(leaf, (child, below) => this.checkOwn(child, below));
      if (this.verified.size >= MAX_VERIFIED) this.verified.clear();
      this.verified.set(path, { leaf, dev: facts.dev, ino: facts.ino });
    }
    return true;
  }

  checkConnect(path: string, { again = false }: { readonly again?: boolean } = {}): boolean {
    if (this.connectable.has(path) && !again) return true;
    const leaf = resolve(path);
    // Only this package makes it, and never with another mode.
    if (isFallbackDirectory(leaf)) return this.check(path);
    this.checkAncestors(leaf, (child, below) => this.checkTrusted(child, below));
    const found = this.look(leaf);
    if (found === undefined) return false;
    this.checkTrusted(leaf, found);
    const facts = found.kind === "link" ? this.target(leaf) : found;
    if (facts === undefined) return false;
    this.checkTrusted(leaf, facts);
    if (facts.kind !== "directory") throw insecure(leaf, "kind", "it is not a directory");
    const writable = (facts.mode & STICKY) === 0 ? facts.mode & WRITABLE_BY_OTHERS : 0;
    if (writable !== 0 && !(writable === WRITABLE_BY_GROUP && this.isOutOfReach(leaf))) throw this.open(leaf, facts);
    if (this.connectable.size >= MAX_VERIFIED) this.connectable.clear();
    this.connectable.add(path);
    return true;
  }

  /**
   * Does a directory above it, ours and closed to group and others, keep its group from using its mode? The umask 0002 of
   * systems with a group for each user makes the reference's directories group-writable, below an XDG_RUNTIME_DIR of 0700.
   * No system's umask makes one that all may write to: that is always told.
   */
  private isOutOfReach(path: string): boolean {
    // Other users come by the real path, not through links of ours.
    for (let child = this.files.realpath(path), parent = dirname(child); parent !== child; parent = dirname(child)) {
      const facts = this.look(parent);
      if (facts !== undefined && uidOf(facts) === this.uid && (facts.mode & OTHERS) === 0) return true;
      child = parent;
    }
    return false;
  }

  /**
   * Below a directory that everybody may write to (such as /tmp) the first component can have been made by anybody;
   * it must be ours or root's, or it could be swapped under us.
   */
  private checkAncestors(leaf: string, judge: (child: string, facts: FileFacts) => void): void {
    for (let child = leaf, parent = dirname(child); parent !== child; child = parent, parent = dirname(child)) {
      const facts = this.look(parent);
      if (facts === undefined || (facts.mode & WORLD_WRITABLE) === 0) continue;
      const below = this.look(child);
      if (below !== undefined && !isSystem(uidOf(below))) judge(child, below);
    }
  }

  private checkPrivate(path: string, facts: FileFacts): void {
    this.checkOwn(path, facts);
    if ((facts.mode & OTHERS) !== 0 || (facts.mode & USABLE) !== USABLE) throw this.open(path, facts);
  }

  private checkOwn(path: string, facts: FileFacts): void {
    const { kind } = facts;
    const uid = uidOf(facts);
    if (kind === "link") throw insecure(path, "link", "it is a symbolic link (name the directory that it leads to)");
    if (kind !== "directory") throw insecure(path, "kind", "it is not a directory");
    if (uid !== this.uid) throw this.foreign(path, uid);
  }

  private checkTrusted(path: string, facts: FileFacts): void {
    const uid = uidOf(facts);
    if (uid !== this.uid && !isSystem(uid)) throw this.foreign(path, uid);
  }

  /** What a path leads to, links followed. */
  private target(path: string): FileFacts | undefined {
    try {
      return this.look(this.files.realpath(path));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  private createMissing(path: string): void {
    if (this.look(path) !== undefined) return;
    const parent = dirname(path);
    this.createMissing(parent);
    this.checkMayCreate(path, parent);
    try {
      mkdirSync(path, { mode: PRIVATE_MODE });
    } catch (error) {
      // Another process was faster; what it made is judged like any other.
      if (errnoOf(error) === "EEXIST") return;
      throw fromNodeError(error, path);
    }
    if ((lstatSync(path).mode & 0o7777) !== PRIVATE_MODE) chmodSync(path, PRIVATE_MODE);
  }

  /** The owner of a directory can replace what is in it, also where it is closed to everybody else. */
  private checkMayCreate(path: string, parent: string): void {
    const facts = this.target(parent);
    if (facts === undefined || uidOf(facts) === this.uid) return;
    if (isSystem(uidOf(facts)) && (facts.mode & STICKY) !== 0) return;
    throw insecure(
      parent,
      "owner",
      `it belongs to uid ${uidOf(facts)}, expected ${this.uid}: ${path} is not created in it (name a directory of your own, or have it made for you)`,
      uidOf(facts),
    );
  }

  private look(path: string): FileFacts | undefined {
    try {
      return this.files.facts(path);
    } catch (error) {
      if (errnoOf(error) === "ENOTDIR") throw insecure(path, "kind", "a parent of it is not a directory");
      if (errnoOf(error) !== "EACCES") throw error;
      const parent = dirname(path);
      // Further up first: this throws when the parent itself is out of reach.
      const facts = this.look(parent) && this.target(parent);
      if (facts === undefined) throw error;
      if (uidOf(facts) !== this.uid) throw this.foreign(parent, uidOf(facts));
      if (awaitOwnerBits(parent, PRIVATE_MODE)) return this.look(path);
      // Its mode is as it should be: something else forbids it, such as a security policy.
      throw (facts.mode & PRIVATE_MODE) === PRIVATE_MODE ? error : this.open(parent, facts);
    }
  }

  private foreign(path: string, uid: number): BrokerError {
    const cure = `have uid ${uid} remove it, or name a directory of your own`;
    return insecure(path, "owner", `it belongs to uid ${uid}, expected ${this.uid} (${cure})`, uid);
  }

  private open(path: string, facts: FileFacts): BrokerError {
    const uid = uidOf(facts);
    const shown = (facts.mode & 0o777).toString(8).padStart(4, "0");
    const own = uid === this.uid;
    const cure = own ? `mend with: chmod 700 ${quoted(path)}` : `have uid ${uid} do: chmod go-w ${quoted(path)}`;
    return insecure(
      path,
      "mode",
      `it has insecure permissions ${shown}, expected ${own ? "0700" : "0755"} (${cure})`,
      uid,
    );
  }
}

/** Root, or in a user namespace a user that has no number there, as root of the machine has not. */
function isSystem(uid: number): boolean {
  return uid === ROOT || (uid === UNMAPPED && inUserNamespace());
}

/** /proc/sys/kernel/overflowuid, which stays as it is. */
const UNMAPPED = 65534;

/** user_namespaces(7): the first one maps all numbers to themselves. */
function inUserNamespace(): boolean {
  try {
    return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
  } catch {
    return false;
  }
}

/** As a POSIX shell takes it for one word. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

function insecure(path: string, check: "owner" | "mode" | "link" | "kind", why: string, owner?: number): BrokerError {
  return new BrokerError("DIRECTORY_INSECURE", `directory ${path} cannot be trusted: ${why}`, {
    details: { path, check, ...(owner !== undefined && { owner }) },
  });
}
