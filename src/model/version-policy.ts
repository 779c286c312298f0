/** Which versions a definition lets through (spec: wire §5). The floor is checked first, then the allow-list. */
import compare from "semver/functions/compare.js";

export type VersionVerdict = "allowed" | "below-floor" | "not-listed";

export function judgeVersion(
  wanted: string,
  policy: { minVersion: string; allowList: readonly string[] },
): VersionVerdict {
  if (policy.minVersion !== "" && isBelow(wanted, policy.minVersion)) return "below-floor";
  if (policy.allowList.length > 0 && !policy.allowList.includes(wanted)) return "not-listed";
  return "allowed";
}

/** Numeric comparison without pre-release tags: 1.10.0-rc.1 is not below 1.10.0. Components above u64 skip the floor. */
function isBelow(wanted: string, floor: string): boolean {
  const [left, right] = [triple(wanted), triple(floor)];
  if (left === undefined || right === undefined) return false;
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] as bigint) - (right[i] as bigint);
    if (difference !== 0n) return difference < 0n;
  }
  return false;
}

const U64_MAX = 2n ** 64n - 1n;

function triple(version: string): [bigint, bigint, bigint] | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(version);
  if (match === null) return undefined;
  const parts = [BigInt(match[1] as string), BigInt(match[2] as string), BigInt(match[3] as string)] as [
    bigint,
    bigint,
    bigint,
  ];
  return parts.every((part) => part <= U64_MAX) ? parts : undefined;
}

/** Newest first, for listings. Versions outside semver's grammar (leading zeros, huge numbers) go by their numbers. */
export function compareForDisplay(a: string, b: string): number {
  try {
    return compare(b, a);
  } catch {
    return isBelow(a, b) ? 1 : isBelow(b, a) ? -1 : b.localeCompare(a);
  }
}
