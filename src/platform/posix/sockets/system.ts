/** What POSIX systems do each in its own way: what the rest of this folder is given by a system's own folder. */
import type { DisposalStack } from "../../../base/disposal-stack.ts";
import type { Host, PeerCredentials, ProcessHandle } from "../../ports/index.ts";
import type { ReadinessWatch } from "./readiness.ts";

export interface PosixSystem {
  readonly os: Host["os"];
  readonly flags: TransferFlags;
  readonly messages: MessageLayout;
  /** The bytes in front of the path in a sockaddr_un of this many bytes. */
  addressHead(length: number): readonly number[];
  /** A close-on-exec stream socket, or -1 (see `lastErrno`). */
  newSocket(nonBlocking: boolean): number;
  /** Two connected ones, which block. @throws BrokerError IO_FAILED */
  newPair(): readonly [number, number];
  /** A connection that waits at a listener, close-on-exec and blocking, or -1 (see `lastErrno`). Never waits. */
  acceptOne(listener: number): number;
  /**
   * Binds; the file's mode is 0600 before the first client can connect. What is to be undone goes to `held`.
   *
   * @throws BrokerError IO_FAILED
   */
  privateBind(held: DisposalStack, at: { readonly fd: number; readonly path: string; readonly address: Buffer }): void;
  /** SO_TYPE, or undefined (see `lastErrno`). */
  socketType(fd: number): number | undefined;
  isListening(fd: number): boolean;
  /** Did connect(2) fail because the listener's backlog is full? Then it is tried again. */
  isBacklogFull(errno: string): boolean;
  /** @throws BrokerError IO_FAILED */
  peerOf(fd: number): PeerCredentials;
  /** @see Connection.openPeer */
  openPeer(fd: number, pid: number): ProcessHandle | undefined;
  /**
   * Calls back once, like `onceReady`, without a watch on the descriptor itself.
   *
   * @throws BrokerError IO_FAILED (EMFILE, ENFILE, …)
   */
  onceReadyAside(fd: number, event: "readable" | "writable", onReady: () => void): Pick<ReadinessWatch, "stop">;
}

/** Of send(2), recv(2), sendmsg(2) and recvmsg(2). None of them waits, and a peer that is gone raises no signal. */
export interface TransferFlags {
  readonly send: number;
  readonly receive: number;
  /** Descriptors that come along are close-on-exec. */
  readonly receiveMessage: number;
}

/** Offsets and sizes in bytes of the structures of sendmsg(2) with SCM_RIGHTS; numbers are little-endian. */
export interface MessageLayout {
  /** struct msghdr. Of a length the lower 32 bits are written, of which none is beyond that. */
  readonly header: {
    readonly bytes: number;
    readonly parts: number;
    readonly partCount: number;
    readonly control: number;
    readonly controlLength: number;
    readonly flags: number;
  };
  /** struct cmsghdr; what it carries follows it. */
  readonly control: { readonly bytes: number; readonly level: number; readonly type: number };
  /** SOL_SOCKET. */
  readonly socketLevel: number;
  /** msg_controllen of a message with one descriptor. */
  readonly sentControlBytes: number;
  /** How many descriptors a message may bring: there is room for them, so that none is lost unseen. */
  readonly maxDescriptors: number;
}
