/** A gzipped tar archive in memory; its libraries are loaded when one is made. */
import { BrokerError, reasonOf } from "../../base/errors.ts";

export interface ArchiveEntry {
  /** Relative, with "/" between names. */
  readonly path: string;
  readonly content: Uint8Array;
}

const PRIVATE_FILE = 0o600;

/**
 * The bytes of a gzipped tar archive with these files, all of mode 0600. Compresses on Node's thread pool.
 *
 * @throws BrokerError IO_FAILED
 */
export async function packTarGz(entries: readonly ArchiveEntry[], modifiedUnixMs: number): Promise<Buffer> {
  try {
    const [{ Header, Pack, ReadEntry }, { gzip }] = await Promise.all([import("tar"), import("node:zlib")]);
    const pack = new Pack({ cwd: "/", portable: true, strict: true });
    const packed = pack.concat();
    // biome-ignore lint/style/noRestrictedGlobals: the library takes this type; no clock is read.
    const mtime = new Date(modifiedUnixMs);
    for (const { path, content } of entries) {
      const entry = new ReadEntry(new Header({ path, mode: PRIVATE_FILE, size: content.length, type: "File", mtime }));
      pack.add(entry);
      if (content.length > 0) entry.write(Buffer.from(content));
      entry.end();
    }
    pack.end();
    const tar = await packed;
    return await new Promise((resolve, reject) =>
      gzip(tar, (error, bytes) => (error === null ? resolve(bytes) : reject(error))),
    );
  } catch (error) {
    throw new BrokerError("IO_FAILED", `the archive could not be packed: ${reasonOf(error)}`, { cause: error });
  }
}
