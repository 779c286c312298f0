/** A shared allowance of bytes. Taking 0 always succeeds. */
export interface ByteQuota {
  /** False when it would go beyond the limit; then nothing is taken. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

export function createByteQuota(limitBytes: number): ByteQuota {
  let used = 0;
  return {
    take(bytes) {
      if (used + bytes > limitBytes) return false;
      used += bytes;
      return true;
    },
    giveBack(bytes) {
      used -= bytes;
    },
  };
}
