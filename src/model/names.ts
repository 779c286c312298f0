/** Grammar of names and versions, and the names of brokers and backends (spec: wire §5, names §2). */
import { optionInvalid, requireObject, requireText } from "../base/check-option.ts";
import { BrokerError } from "../base/errors.ts";
import { MAX_NAME_BYTES } from "../wire/limits.ts";

const NAME = /^[a-z0-9-]{1,64}$/;
const VERSION = /^\d+\.\d+\.\d+(?:-[a-z0-9.]+)?$/;
const USER_HASH = /^[0-9a-f]{16}$/;
const BACKEND_RANDOM_BYTES = 16;

/** What is wrong with a service or instance name; undefined when nothing is. */
export function nameFault(name: string): string | undefined {
  if (NAME.test(name)) return undefined;
  const bytes = Buffer.byteLength(name);
  if (bytes === 0) return "is empty";
  if (bytes > MAX_NAME_BYTES) return `has ${bytes} bytes, at most ${MAX_NAME_BYTES} are allowed`;
  if (/[A-Z]/.test(name)) return "contains upper-case letters";
  return "may contain only a-z, 0-9 and '-'";
}

/** What is shown of a text that a peer wrote where a name belongs. */
const SHOWN_NAME_CHARS = 64;

/** A text of a peer's as it is put into logs, events and errors: at most `mostChars`, with `…` where it was cut. */
export function shortened(text: string, mostChars: number = SHOWN_NAME_CHARS): string {
  if (text.length <= mostChars) return text;
  // Not through the middle of a character of two code units.
  const cut = text.slice(0, mostChars);
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
}

/** @throws BrokerError NAME_INVALID */
export function checkName(what: string, name: string): void {
  const fault = nameFault(name);
  if (fault !== undefined) throw new BrokerError("NAME_INVALID", `${what} ${JSON.stringify(shortened(name))} ${fault}`);
}

export function isVersion(version: string): boolean {
  return VERSION.test(version);
}

/** @throws BrokerError VERSION_INVALID */
export function checkVersion(what: string, version: string): void {
  if (isVersion(version)) return;
  throw new BrokerError(
    "VERSION_INVALID",
    `${what} ${JSON.stringify(shortened(version))} is not MAJOR.MINOR.PATCH with an optional -prerelease of a-z, 0-9 and '.'`,
  );
}

/** Which broker serves a service. */
export type Instance =
  | { readonly kind: "shared" }
  | { readonly kind: "private"; readonly service: string }
  | { readonly kind: "explicit"; readonly name: string };

/**
 * `shared`, `private:SERVICE` or `explicit:NAME`: registry key, endpoint name space, what backends see.
 *
 * @throws BrokerError OPTION_INVALID
 */
export function instanceId(instance: Instance): string {
  requireObject("instance", instance);
  switch (instance.kind) {
    case "shared":
      return "shared";
    case "private":
      requireText("instance.service", instance.service);
      return `private:${instance.service}`;
    case "explicit":
      requireText("instance.name", instance.name);
      return `explicit:${instance.name}`;
    default: {
      const { kind } = instance as { kind?: unknown };
      throw optionInvalid("instance.kind", kind, '"shared", "private" or "explicit"');
    }
  }
}

/** The inverse of `instanceId`. @throws BrokerError OPTION_INVALID, NAME_INVALID */
export function parseInstanceId(id: string): Instance {
  requireText("instance", id);
  if (id === "shared") return { kind: "shared" };
  const [kind, name] = splitOnce(id, ":");
  if (name !== undefined && kind === "private") {
    checkName("service name", name);
    return { kind: "private", service: name };
  }
  if (name !== undefined && kind === "explicit") {
    checkName("instance name", name);
    return { kind: "explicit", name };
  }
  throw new BrokerError(
    "OPTION_INVALID",
    `instance ${JSON.stringify(id)} is none of "shared", "private:SERVICE", "explicit:NAME"`,
  );
}

/** Bare socket or pipe name of a broker. @throws BrokerError NAME_INVALID */
export function brokerName(userHash: string, instance: Instance): string {
  checkUserHash(userHash);
  switch (instance.kind) {
    case "shared":
      return `rpb-v1-${userHash}-shared`;
    case "private":
      checkName("service name", instance.service);
      return `rpb-v1-${userHash}-svc-${instance.service}`;
    case "explicit":
      checkName("instance name", instance.name);
      return `rpb-v1-${userHash}-inst-${instance.name}`;
  }
}

/** Bare name of a backend's endpoint from 16 random bytes. */
export function backendName(userHash: string, random: Uint8Array): string {
  checkUserHash(userHash);
  if (random.length !== BACKEND_RANDOM_BYTES)
    throw new Error(`backend name needs ${BACKEND_RANDOM_BYTES} random bytes, got ${random.length}`);
  return `rpb-v1-${userHash}-be-${Buffer.from(random).toString("hex")}`;
}

function checkUserHash(hash: string): void {
  if (USER_HASH.test(hash)) return;
  const fault =
    hash.length !== 16 ? `has ${hash.length} characters, expected 16` : "contains characters other than 0-9 and a-f";
  throw new BrokerError("NAME_INVALID", `user hash ${JSON.stringify(hash)} ${fault}`);
}

/** Splits at the first separator; the second part is undefined when there is none. */
export function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
