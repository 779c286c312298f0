/** Addresses of listeners as things in the system: socket files on POSIX systems, names of pipes on Windows. */
import type { FileIdentity } from "../../model/file-identity.ts";
import type { FileFacts } from "./files.ts";

/** What is at an address, whether it is an endpoint (`kind` is `socket`) or something else. */
export type FoundAtEndpoint = Pick<FileFacts, keyof FileIdentity | "kind" | "mtimeNs" | "owner">;

/** Whether a process listens at an endpoint is another question: `Transport.isBound`. */
export interface Endpoints {
  /** Undefined when nothing is there. @throws BrokerError IO_FAILED */
  find(path: string): FoundAtEndpoint | undefined;
  /** Is there an endpoint, bound or not? @throws BrokerError IO_FAILED */
  exists(path: string): boolean;
  /** Is what is there the very thing that was found before? False when nothing was, or is. @throws BrokerError IO_FAILED */
  isSame(path: string, found: FileIdentity | undefined): boolean;
  /** Removes what is there. True when something was removed. @throws BrokerError IO_FAILED unless nothing was there. */
  remove(path: string): boolean;
}
