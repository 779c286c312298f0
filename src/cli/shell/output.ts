/**
 * What a command line writes, in the one place where text reaches a terminal. Callers give lines and may put text of
 * others (backends, brokers, files) into them as it is: it cannot end a line, forge one, or steer the terminal.
 */
import { printable, printableLines } from "../../base/printable.ts";

/** One line, or several, each without its end. What would steer a terminal in them is written as "?". */
export type Lines = string | readonly string[];

export interface Output {
  /** Lines on stdout. Never throws, also when no process reads any more. */
  out(lines: Lines): void;
  /** Lines on stderr; the same. */
  err(lines: Lines): void;
  /**
   * A whole text of another program on stdout: to a pipe or file as it is, so that tools get what was written; to a
   * terminal with "?" for what would steer it. Its line ends stay.
   */
  document(text: string): void;
  /** Log lines with their ends on stderr, made safe by the log itself (it has colours of its own). */
  log(text: string): void;
}

export interface OutputSink {
  readonly stdoutIsTerminal: boolean;
  writeOut(text: string): void;
  writeErr(text: string): void;
}

export function createOutput(sink: OutputSink): Output {
  return {
    out: (lines) => sink.writeOut(joined(lines)),
    err: (lines) => sink.writeErr(joined(lines)),
    document: (text) => sink.writeOut(sink.stdoutIsTerminal ? printableLines(text) : text),
    log: (text) => sink.writeErr(text),
  };
}

/** As one text, made safe for a terminal. */
export function joined(lines: Lines): string {
  return (typeof lines === "string" ? [lines] : lines).map((line) => `${printable(line)}\n`).join("");
}
