/**
 * Bits of `Hello.client_capabilities` and `Negotiated.server_capabilities`. Unknown bits are kept and never renumbered. Ours
 * lie in the private range (private-numbers.ts).
 */
export const CAPABILITY = {
  /** The peer can take part in handing over a connection. */
  handlePassing: 1n << 0n,
  /**
   * Ours. The client keeps the connection on which it said Hello, may have sent bytes for the backend behind it, and needs
   * no ready event. In effect only together with `handlePassing` and a token.
   */
  handoffDirect: 1n << 32n,
  /**
   * Ours, only in a backend's announcement on the control channel: it writes an offer's `client_reply` to the client, which
   * direct mode needs. Before 0.1.0 bit 32 said so, for the number that the field had then; it is not asked for any more.
   */
  handoffReply: 1n << 33n,
} as const;

export type CapabilityName = keyof typeof CAPABILITY;

export function hasCapability(bits: bigint, name: CapabilityName): boolean {
  return (bits & CAPABILITY[name]) !== 0n;
}

/** `none`, or `0x1 [HANDLE_PASSING]`; bits without a name follow as `unknown:0x…`. */
export function formatCapabilities(bits: bigint): string {
  if (bits === 0n) return "none";
  const names = (Object.keys(CAPABILITY) as CapabilityName[]).filter((name) => hasCapability(bits, name));
  const known = names.reduce((sum, name) => sum | CAPABILITY[name], 0n);
  const words = names.map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase());
  if (bits !== known) words.push(`unknown:0x${(bits & ~known).toString(16)}`);
  return `0x${bits.toString(16)} [${words.join(", ")}]`;
}
