/**
 * What the .proto files of the frozen package declare, read by buf from the files themselves: what was generated from them
 * may be stale, and does not show what is reserved.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

export interface Declaration {
  /** Of the message or enum, without its package. */
  readonly name: string;
  readonly kind: "message" | "enum";
  /** Fields or values, in the order of the file. */
  readonly members: readonly { readonly name: string; readonly number: number }[];
  /** Ranges, both ends included. */
  readonly reserved: readonly (readonly [first: number, last: number])[];
}

const PACKAGE = "running_process.broker.v1";
const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Messages and enums of `running_process.broker.v1`, those of all files. @throws Error when buf does not take the files */
export function frozenSchema(): Declaration[] {
  const image = execFileSync("node_modules/.bin/buf", ["build", "proto", "--as-file-descriptor-set", "-o", "-"], {
    cwd: ROOT,
  });
  return fromBinary(FileDescriptorSetSchema, image)
    .file.filter((file) => file.package === PACKAGE)
    .flatMap(({ messageType, enumType }) => [
      ...messageType.map(
        ({ name, field, reservedRange }): Declaration => ({
          name,
          kind: "message",
          members: field.map(({ name, number }) => ({ name, number })),
          // The end of a message's range is the number behind it, that of an enum's its last one (descriptor.proto).
          reserved: reservedRange.map(({ start, end }) => [start, end - 1]),
        }),
      ),
      ...enumType.map(
        ({ name, value, reservedRange }): Declaration => ({
          name,
          kind: "enum",
          members: value.map(({ name, number }) => ({ name, number })),
          reserved: reservedRange.map(({ start, end }) => [start, end]),
        }),
      ),
    ]);
}
