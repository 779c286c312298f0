/** Which protocol a frame's payload speaks. The numbers are frozen; consumers own 0x7000-0x7EFF and 0xF000-0xFFFF. */
import { shown } from "../base/check-option.ts";
import { BrokerError } from "../base/errors.ts";

export const PAYLOAD_PROTOCOL = {
  /** Hello and HelloReply. */
  control: 0x0000,
  /** Admin verbs. */
  admin: 0xad01,
  /** Identity probe of a backend. */
  probe: 0xb232,
  /** Offer, acknowledgement and ready event of a handoff. */
  handoff: 0xd0ff,
} as const;

const FIRST_PARTY: ReadonlySet<number> = new Set(Object.values(PAYLOAD_PROTOCOL));

/** Consumers that registered a number with the protocol's keeper. */
export const REGISTERED_CONSUMERS: Readonly<Record<string, number>> = { zccache: 0x7a63, clud: 0x7c4c, fbuild: 0x7eb1 };

const CONSUMER_RANGES = [
  { from: 0x7000, to: 0x7eff, about: "registered consumers" },
  { from: 0xf000, to: 0xffff, about: "private use and tests" },
] as const;

export function isFirstPartyProtocol(protocol: number): boolean {
  return FIRST_PARTY.has(protocol);
}

export function isConsumerProtocol(protocol: number): boolean {
  return Number.isInteger(protocol) && CONSUMER_RANGES.some((range) => protocol >= range.from && protocol <= range.to);
}

/** @throws BrokerError PAYLOAD_PROTOCOL_INVALID unless `protocol` lies in a range for consumers. */
export function checkConsumerProtocol(protocol: number): void {
  if (isConsumerProtocol(protocol)) return;
  const got = Number.isInteger(protocol) ? formatProtocol(protocol) : shown(protocol);
  throw new BrokerError(
    "PAYLOAD_PROTOCOL_INVALID",
    `payload protocol ${got} is not for consumers, use 0x7000-0x7EFF or 0xF000-0xFFFF`,
  );
}

/**
 * Checks the protocols one endpoint is to serve: each in range, none twice.
 *
 * @throws BrokerError PAYLOAD_PROTOCOL_INVALID
 */
export function checkServedProtocols(protocols: readonly number[]): void {
  const seen = new Set<number>();
  for (const protocol of protocols) {
    checkConsumerProtocol(protocol);
    if (seen.has(protocol))
      throw new BrokerError(
        "PAYLOAD_PROTOCOL_INVALID",
        `payload protocol ${formatProtocol(protocol)} is served twice on one endpoint`,
      );
    seen.add(protocol);
  }
}

export function formatProtocol(protocol: number): string {
  return `0x${protocol.toString(16).toUpperCase().padStart(4, "0")}`;
}
