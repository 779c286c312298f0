/** A gzipped tar archive in memory; its libraries are loaded when one is made. */
import { BrokerError, reasonOf } from "../../base/errors.ts";
import type { ArchiveEntry } from "../ports.ts";

const PRIVATE_FILE = 0o600;

/** Compresses on Node's thread pool: nobody waits for it but the caller. */
export async function packTarGz(entries: readonly ArchiveEntry[], modifiedUnixMs: number): Promise<Buffer> {
  try {
    const [{ Header, Pack, ReadEntry }, { gzip }] = await Promise.all([import("tar"), import("node:zlib")]);
    const pack = new Pack({ cwd: "/", portable: true, strict: true });
    const packed = pack.concat();
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
