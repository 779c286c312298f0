/** sockaddr_un of unix(7): what a system puts in front, then the path with its terminating NUL. */
import { BrokerError } from "../../../base/errors.ts";
import { checkEndpointLength } from "../../../model/places.ts";
import type { PosixSystem } from "./system.ts";

/** @throws BrokerError ENDPOINT_INVALID (empty, relative or with a NUL byte), PATH_TOO_LONG */
export function socketAddress({ os, addressHead }: Pick<PosixSystem, "addressHead" | "os">, path: string): Buffer {
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new BrokerError("ENDPOINT_INVALID", `socket path ${JSON.stringify(path)} is not an absolute path`, {
      details: { path },
    });
  }
  checkEndpointLength(os, path);
  const bytes = Buffer.from(path);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.set(addressHead(address.length), 0);
  bytes.copy(address, 2);
  return address;
}
