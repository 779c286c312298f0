/** What can be learned of a program before it is started. */

export interface Executables {
  /** May we execute it? Undefined when yes, else the errno. */
  executableFault(path: string): string | undefined;
  /**
   * Hash of an executable's bytes (32 bytes), cached by device, inode, modification time and size. Concurrent calls for
   * one content share one reading, which gives the event loop its turns.
   *
   * @throws BrokerError IO_FAILED
   */
  sha256Executable(path: string): Promise<Buffer>;
  /** The same with BLAKE3, which costs three times as much. */
  blake3Executable(path: string): Promise<Buffer>;
  /** The first line of a `#!` script without the marker, trimmed; undefined for any other file. @throws BrokerError IO_FAILED */
  interpreterLine(path: string): string | undefined;
}
