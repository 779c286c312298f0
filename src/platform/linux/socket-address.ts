/** sockaddr_un of unix(7): family, then the path with its terminating NUL. */
import { BrokerError } from "../../base/errors.ts";
import { checkEndpointLength } from "../../model/places.ts";
import { AF_UNIX } from "./libc.ts";

/** @throws BrokerError ENDPOINT_INVALID (empty, relative or with a NUL byte), PATH_TOO_LONG */
export function socketAddress(path: string): Buffer {
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new BrokerError("ENDPOINT_INVALID", `socket path ${JSON.stringify(path)} is not an absolute path`, {
      details: { path },
    });
  }
  checkEndpointLength("linux", path);
  const bytes = Buffer.from(path);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}
