/** The syntax of paths on this system. Works on text alone; for what is at a path see `Files`. */
export interface Paths {
  join(...parts: readonly string[]): string;
  /** Absolute: against `base` unless `path` is absolute itself. */
  resolve(base: string, path: string): string;
  relative(from: string, to: string): string;
  dirname(path: string): string;
  basename(path: string, suffix?: string): string;
  isAbsolute(path: string): boolean;
  normalize(path: string): string;
}
