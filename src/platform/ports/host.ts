/** The machine, the user and the limits of this process. */

export interface Host {
  readonly os: "linux" | "darwin" | "win32";
  /** Root, or LocalSystem on Windows. */
  isPrivileged(): boolean;
  /** 16 hex digits naming this user on this machine (spec names §1). @throws BrokerError IO_FAILED without a machine id */
  userHash(): string;
  bootId(): string;
  machineId(): string;
  hostname(): string;
  randomBytes(length: number): Buffer;
  /** Percent of inodes used and so on for `status`; undefined where the file system does not count them. */
  inodeUsage(path: string): { total: bigint; free: bigint } | undefined;
  /** Soft limit of open descriptors and how many are open. */
  descriptorUsage(): { open: number; limit: number };
}
