/** Learning of changes to files. */

export interface Watching {
  /**
   * Calls back when the file changes, until closed; once more when the system stops telling, which ends the watch. Does not
   * keep the process alive. Undefined where it cannot be watched.
   */
  watch(path: string, onChange: () => void): { close(): void } | undefined;
  /** Counts what happens in a directory and to it, whether it is there or not. The caller closes it. */
  changeCounter(directory: string): ChangeCounter;
}

/**
 * Spares looks at files: what was seen after a call of `value` still holds as long as calls return the same number.
 * For what the system does not tell (a directory further up was moved, another machine wrote to a file system shared with it)
 * the number changes every 100 ms.
 */
export interface ChangeCounter {
  /** Nothing that happened before the call is missed. NaN, which equals nothing, where nothing is known, and once closed. */
  value(): number;
  close(): void;
}
