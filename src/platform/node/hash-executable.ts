/**
 * Hashes of executables, read once per content and remembered.
 *
 * SHA-256 is native code (50 ms for the 99 MB of a Node binary); BLAKE3 is WebAssembly (100 ms) and loaded only when
 * asked for, because a launch needs it only to check a backend that knows no other hash.
 */
import { promises } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { stampText } from "../../model/file-identity.ts";
import { fromNodeError } from "../errno.ts";

/** Large enough to be fast, small enough to give the event loop a turn while a large binary is hashed. */
const CHUNK_BYTES = 256 * 1024;
/** Hashes remembered per algorithm; beyond it the oldest goes. */
const CACHE_LIMIT = 256;

interface Digest {
  update(bytes: Uint8Array): unknown;
  finish(): Buffer;
}

const ALGORITHMS = {
  async sha256(): Promise<Digest> {
    // Here and not at the start, which it would make five milliseconds longer for everybody who hashes nothing.
    const hash = process.getBuiltinModule("node:crypto").createHash("sha256");
    return { update: (bytes) => hash.update(bytes), finish: () => hash.digest() };
  },
  async blake3(): Promise<Digest> {
    const { createBLAKE3 } = await import("hash-wasm");
    const hash = await createBLAKE3();
    hash.init();
    return { update: (bytes) => hash.update(bytes), finish: () => Buffer.from(hash.digest("binary")) };
  },
} as const;

export type HashAlgorithm = keyof typeof ALGORITHMS;

/** Hash of the file's bytes, 32 bytes; concurrent calls for one content share one reading. @throws BrokerError IO_FAILED */
export type ExecutableHasher = (path: string, algorithm: HashAlgorithm) => Promise<Buffer>;

export function createExecutableHasher(): ExecutableHasher {
  const cache = new Map<string, Promise<Buffer>>();
  return async (path, algorithm) => {
    try {
      const file = await promises.open(path, "r");
      try {
        const content = stampText(await file.stat({ bigint: true }));
        return await remembered(cache, `${algorithm}:${content}`, () => hashFile(file, algorithm));
      } finally {
        await file.close();
      }
    } catch (error) {
      throw fromNodeError(error, path);
    }
  };
}

function remembered(cache: Map<string, Promise<Buffer>>, key: string, compute: () => Promise<Buffer>): Promise<Buffer> {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const computed = compute();
  cache.set(key, computed);
  computed.catch(() => cache.delete(key));
  const oldest = cache.keys().next().value;
  if (cache.size > CACHE_LIMIT && oldest !== undefined) cache.delete(oldest);
  return computed;
}

async function hashFile(file: FileHandle, algorithm: HashAlgorithm): Promise<Buffer> {
  const digest = await ALGORITHMS[algorithm]();
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) return digest.finish();
    digest.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
}
